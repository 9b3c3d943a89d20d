"""What a stage is: its answers to the run, and what the stages of one run share."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from distspc.errors import InputError
from distspc.messages import counted
from distspc.pipeline.compute import Progress, compute, no_progress
from distspc.store.access import read_only_error
from distspc.store.failures import Failure, stored_failures
from distspc.store.format import schema
from distspc.store.verify import expect_writers

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client

    from distspc.images.changes import Changes
    from distspc.pipeline.needs.work import Loads, Setting
    from distspc.schedule import Workers
    from distspc.store.store import Store
    from distspc.study.file import StageName, StudyFile
    from distspc.study.images import StudyImages


Connect = Callable[["StageName"], "Client | None"]
Comparison = Callable[[], None]
"""Compares, and raises StoreMismatchError where a store holds something else."""
Seeds = Sequence[int | str | None]
"""Seeds, or measures, of a layer; None stands for work that has neither."""


@dataclass
class Outcome:
    """What a run did."""

    computed: dict[str, int] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    report: Path | None = None
    given_back: dict[str, int] = field(default_factory=dict)
    updated: Changes | None = None

    def count(self, label: str, n_tasks: int) -> None:
        """Count tasks that were computed."""
        self.computed[label] = self.computed.get(label, 0) + n_tasks

    def then(self, other: Outcome) -> Outcome:
        """What this and a later run did."""
        other.computed, other.updated = {**self.computed, **other.computed}, self.updated
        other.given_back = {**self.given_back, **other.given_back}
        return other


@dataclass
class Run:
    """What the stages of one run share.

    Attributes
    ----------
    study, images
        The study and its images, listed once.
    connect
        Gives a client for a stage once it is needed.
    strict
        Whether a bad image is an error.
    progress
        Told how far every piece of work is.
    writable
        Whether the store can be written.
    outcome
        What has been done so far.
    written
        Groups that the stage at work has begun to write results of.
    whole
        The study, where `study` is a part of it with the layers of one round.
    number
        Of the round, from 0.
    before
        Stores of the study on other images, whose activations are taken.
    """

    study: StudyFile
    images: StudyImages
    connect: Connect
    strict: bool = False
    progress: Progress = no_progress
    writable: bool = True
    outcome: Outcome = field(default_factory=Outcome)
    written: set[str] = field(default_factory=set)
    whole: StudyFile | None = None
    number: int = 0
    before: Sequence[Store] = ()

    @property
    def all_layers(self) -> Sequence[str]:
        """Layers of all rounds, in the study's order."""
        return (self.whole or self.study).layers

    @property
    def store(self) -> Store:
        """The store of the study."""
        return self.study.stored

    def require_writable(self, *, activations: bool = True) -> None:
        """Raise InputError where the store cannot be written; writers begin then, of `activations` too or not."""
        if not self.writable:
            raise read_only_error(self.study.store)
        if activations:
            expect_writers(self.store)

    def compute(
        self, tasks: Sequence[Delayed], client: Client | None, label: str, *, resource: str | None = None, gather: bool
    ) -> list[Any]:
        """Compute the tasks of a piece of work, any of which stops all."""
        results = compute(tasks, client, label=label, progress=self.progress, resource=resource, gather=gather)
        self.outcome.count(label, len(tasks))
        return results


class Stage(ABC):
    """One stage: what it needs, what it lacks, and the tasks that make this.

    Attributes
    ----------
    name
        Name in the study file and on the command line.
    makes
        Groups of the store that are gone when the stage is redone.
    rests_on
        Stages whose results it uses, itself the last: their failures leave holes in what it gives.
    on_cluster
        Whether it has Dask tasks.
    imports
        Modules that it imports once it has something to do, which takes long.
    """

    name: ClassVar[StageName]
    makes: ClassVar[tuple[str, ...]] = ()
    rests_on: ClassVar[tuple[StageName, ...]]
    on_cluster: ClassVar[bool] = False
    imports: ClassVar[tuple[str, ...]] = ()

    def check(self, study: StudyFile, images: StudyImages, stages: Sequence[StageName]) -> None:  # noqa: B027
        """Look at what the stage will need, before a night is spent on other `stages` or anything is thrown away.

        Raises
        ------
        InputError
            If something is not there, or cannot be what it should be.
        """

    def check_stored(self, study: StudyFile) -> None:  # noqa: B027
        """Look at what the stage needs of the store, before its results are thrown away to be made anew.

        Raises
        ------
        InputError
            If that is missing, or cannot be used.
        """

    def comparisons(self, study: StudyFile, images: StudyImages) -> Iterable[tuple[str, Comparison]]:
        """Comparisons of what the store holds of the stage with the study, by layer ("": all); nothing is computed."""
        return ()

    @abstractmethod
    def missing(self, run: Run, layer: str) -> Seeds:
        """Seeds (or None) of a layer (or "") whose results are missing; writes nothing."""

    def reads_activations(self, study: StudyFile) -> bool:
        """Whether results are computed from activations, which may be given back once these are there."""
        return False

    def needs_activations(self, run: Run, layer: str) -> bool:
        """Whether results of a layer are missing that are computed from its activations; writes nothing."""
        return False

    @abstractmethod
    def prepare(self, run: Run, layer: str, plan: Any = None) -> None:
        """Write what must be there before anything of a layer is computed: allocate, remove what is stale."""

    def layer_by_layer(self, study: StudyFile) -> bool:
        """Whether each layer can be computed as soon as what it rests on is there, beside other stages."""
        return False

    @abstractmethod
    def run(self, run: Run) -> None:
        """Compute what is missing."""

    @abstractmethod
    def status(self, study: StudyFile) -> Iterator[tuple[str, int, int]]:
        """How far it is: layer (or ""), number done, number in all."""

    def remarks(self, study: StudyFile) -> Mapping[str, str]:
        """What is to be known of its results beside how far they are, by layer."""
        return {}

    def check_workers(self, study: StudyFile, workers: Workers) -> None:  # noqa: B027
        """Look whether workers that are yet to be started will have memory enough.

        Raises
        ------
        InputError
            If the smallest task of a layer does not fit; names what it needs, and the setting to change.
        """

    def loads(self, study: StudyFile, setting: Setting) -> Loads | None:
        """The work, from sizes alone; None where there is next to none."""
        return None


def complete_results(study: StudyFile, name: str, **wanted: Sequence[Any]) -> np.ndarray:
    """For every combination of wanted labels, whether the results of a group are complete."""
    there, group = np.zeros([len(labels) for labels in wanted.values()], dtype=bool), study.stored[name]
    if not group.exists():
        return there
    known = {dim: group.labels(dim) for dim in wanted}
    done = group.complete(*wanted)
    for at, labels in zip(np.ndindex(there.shape), itertools.product(*wanted.values()), strict=True):
        if all(label in known[dim] for dim, label in zip(wanted, labels, strict=True)):
            there[at] = done[tuple(known[dim].index(label) for dim, label in zip(wanted, labels, strict=True))]
    return there


def missing_measures(study: StudyFile) -> dict[str, dict[str, list[str]]]:
    """What measures lack, by group: what rests on them is to be made anew once it is there; only where they do."""
    seeds = list(study.reconstruction.seeds)
    distances = complete_results(study, schema.DISTANCES, layer=study.layers)
    fits = complete_results(study, schema.RECONSTRUCTION, layer=study.layers, seed=seeds)
    names = [f"{layer} {seed}" for layer in study.layers for seed in seeds]
    done = {
        schema.DISTANCES: dict(zip(study.layers, distances, strict=True)),
        schema.RECONSTRUCTION: dict(zip(names, fits.reshape(-1), strict=True)),
    }
    holes = {group: [name for name, there in names.items() if not there] for group, names in done.items()}
    holes |= {f"{schema.MEASURES}/{word}": names for word, names in _missing_further(study).items() if names}
    return {"missing": holes} if any(holes.values()) else {}


def _missing_further(study: StudyFile) -> dict[str, list[str]]:
    """Layers that lack a further measure, by its word."""
    from distspc.measures.build import is_complete

    layers = {one.word: study.layers if one.measure.needs == "activations" else [""] for one in study.measures}
    return {
        one.word: [layer for layer in layers[one.word] if not is_complete(study.stored, layer, one)]
        for one in study.measures
    }


def measure_groups(study: StudyFile) -> list[str]:
    """Groups of all measures that a study asks for."""
    further = [study.stored.measure(one.word).name for one in study.measures]
    return [schema.DISTANCES, schema.RECONSTRUCTION, *further]


def stored_recipes(study: StudyFile, groups: Iterable[str]) -> dict[str, Any]:
    """Recipes of those of some groups that are there."""
    there = [group for group in groups if study.stored[group].exists()]
    return {group: study.stored[group].attributes.get("recipe") for group in there}


def study_failures(study: StudyFile) -> list[Failure]:
    """Return the layers and seeds of a study that could not be computed."""
    words = [one.word for one in study.measures]
    return stored_failures(study.stored, layers=study.layers, seeds=study.reconstruction.seeds, measures=words)


def usable_layers(study: StudyFile) -> list[str]:
    """Layers whose activations are there, or were given back; raises for others but those that could not have them."""
    failed = {one.layer for one in study_failures(study) if one.stage == "extract"}
    layers = [layer for layer in study.layers if layer not in failed]
    for layer in layers:
        _require_activations(study, layer)
    return layers


def _require_activations(study: StudyFile, layer: str) -> None:
    group = study.stored.layer(layer)
    if group.given_back:
        return
    if not (group.exists() and group.has("activation")):
        raise InputError(f"{study.store} has no activations of {layer} yet: run `distspc extract` first")
    done = group.done("activation")
    if not done.all():
        raise InputError(
            f"{study.store} lacks {counted(done.size - int(done.sum()), 'chunk', of=done.size)} of {layer}: "
            "run `distspc extract` to complete them"
        )
