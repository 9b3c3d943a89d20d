"""Stages that compute layer by layer, alone or side by side: a layer that cannot be computed stops no other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distspc.errors import InputError, StoreMismatchError
from distspc.pipeline.compute import Part, available_workers, compute_parts, run_on_all_workers
from distspc.pipeline.stages.base import Run, Seeds, Stage, usable_layers
from distspc.schedule import Workers
from distspc.store.failures import Failure, keep_failures
from distspc.tasks import Refusal, free_spare_memory, refusals_as_values

if TYPE_CHECKING:
    from dask.delayed import Delayed

    from distspc.study.file import StageName, StudyFile

PartName = tuple["StageName", str, int | str | None]
"""Stage, layer, seed or measure."""


class LayerStage(Stage):
    """A stage whose layers and seeds are computed each on its own: one that cannot be stops no other.

    Attributes
    ----------
    urgency
        Of the stages that run together, tasks of higher urgency begin first: the longest chains.
    opens
        Whether long tasks wait for its short first ones, which are done before those of other stages begin.
    """

    on_cluster = True
    urgency = 0
    opens = False

    def layer_by_layer(self, study: StudyFile) -> bool:
        """Each layer on its own."""
        return True

    def reads_activations(self, study: StudyFile) -> bool:
        """All do."""
        return True

    def needs_activations(self, run: Run, layer: str) -> bool:
        """Whether the layer's results are missing, and could be computed."""
        try:
            return bool(self.missing(run, layer))
        except StoreMismatchError:
            raise
        except InputError:  # said when it is to be computed
            return False

    def layers(self, run: Run) -> Sequence[str]:
        """Layers that can be computed."""
        return usable_layers(run.study)

    def apart(self, run: Run) -> Sequence[str]:
        """What is computed beside the layers: [""] where the stage has work that is of none."""
        return ()

    def label(self, study: StudyFile) -> str:
        """Name of the work in progress reports."""
        return self.name

    def seeds(self, study: StudyFile) -> Sequence[int]:
        """Seeds that the study asks for; none where the stage has none."""
        return ()

    def groups(self, study: StudyFile, layers: Sequence[str]) -> Sequence[str]:
        """Groups that hold the results of some layers."""
        return self.makes

    def plans(self, run: Run, layers: Sequence[str], workers: Workers, beside: Sequence[str] = ()) -> Mapping[str, Any]:
        """What `prepare` and `tasks` go by, or why not, for layers that share workers with others `beside` them.

        Here a task's memory.
        """
        return dict.fromkeys(layers, workers.task_memory_nbytes)

    @abstractmethod
    def tasks(self, run: Run, layer: str, missing: Seeds, plan: Any) -> Mapping[int | str | None, list[Delayed]]:
        """Build the tasks of what is missing by seed (or measure), as planned."""

    def run(self, run: Run) -> None:
        """Compute what can be computed of every layer and seed."""
        compute_layers(run, [self])

    def clean(self, run: Run) -> None:
        """Remove what was kept beside the results until all are there, by this run or one that was stopped."""


def allocated_layers(run: Run) -> list[str]:
    """Layers of a study whose activations are there, or on their way or to come, in the study's order."""
    in_rounds = run.whole is not None
    return [layer for layer in run.all_layers if in_rounds or run.store.layer(layer).exists()]


def compute_layers(run: Run, stages: Sequence[LayerStage]) -> None:
    """Compute what is missing of every layer and seed of some stages; the store keeps what cannot be, and why.

    Parameters
    ----------
    run
        The run.
    stages
        Stages of one cluster, in their order. Their tasks are submitted together; where the first gives activations,
        a layer's other tasks follow as soon as its own are complete.
    """
    _LayerRun(run, stages).compute()


class _LayerRun:
    """Some stages of one run, side by side."""

    def __init__(self, run: Run, stages: Sequence[LayerStage]) -> None:
        self.run = run
        self.work = {stage.name: _StageWork(run, stage) for stage in stages}
        self.source = self.work.get("extract")
        self.following = [one for one in self.work.values() if one is not self.source]
        self.layers = run.study.layers if self.source else stages[0].layers(run)
        self.workers = Workers()

    def compute(self) -> None:
        """Look what is missing, compute it, keep what could not be."""
        if self.source is not None:
            self.source.look(self.layers)
        for one in self.following:
            layers = self.layers if self.source is None else sorted(self.source.complete, key=self.layers.index)
            one.look([*one.apart(), *layers] if layers or self.source is None else [])
            one.beside = [*one.missing, *(self.source.missing if self.source else ())]
        beginning = [one.stage for one in self.work.values() if one.missing]
        if beginning:
            self.run.require_writable()
            client = self.run.connect(beginning[0].name)
            self.workers = available_workers(client)
            parts = self._build(self.work.values())
            compute_parts(parts, client, progress=self.run.progress, then=self._follow, n_to_come=self._n_to_come)
        for one in self.work.values():
            one.end()
            one.stage.clean(self.run)
        if beginning:
            run_on_all_workers(free_spare_memory, client)

    def _build(self, work: Iterable[_StageWork]) -> list[Part[PartName]]:
        return [part for one in work for part in one.build(self.workers)]

    def _follow(self, name: PartName, error: InputError | None) -> list[Part[PartName]]:
        """What can be computed once a part is done: all else of a layer, once its activations are complete."""
        stage, layer, seed = name
        self.work[stage].settle(layer, seed, error)
        if self.source is None or stage != self.source.stage.name or error is not None:
            return []
        for one in self.following:
            one.look([*one.apart(), layer])
        return self._build(self.following)

    def _n_to_come(self, label: str) -> int:
        if self.source is None or label == self.source.label:
            return 0
        return sum(layer not in self.source.complete and not self.source.refuses(layer) for layer in self.layers)


class _StageWork:
    """What one stage has to do in one run."""

    def __init__(self, run: Run, stage: LayerStage) -> None:
        self.run, self.stage, self.label = run, stage, stage.label(run.study)
        self.missing: dict[str, Seeds] = {}
        self.beside: Sequence[str] = ()
        self.complete: set[str] = set()
        self._refused: dict[tuple[str, int | str | None], InputError] = {}
        self._apart: Sequence[str] | None = None
        self._n_tasks = 0

    def apart(self) -> Sequence[str]:
        """What is computed beside the layers, the first time that it is asked for."""
        first, self._apart = self._apart is None, ()
        return self.stage.apart(self.run) if first else ()

    def look(self, layers: Iterable[str]) -> None:
        """Ask what is missing of layers; writes nothing."""
        for layer in layers:
            with self._refusing(layer):
                if missing := self.stage.missing(self.run, layer):
                    self.missing[layer] = missing
                else:
                    self.complete.add(layer)

    def build(self, workers: Workers) -> list[Part[PartName]]:
        """Build the tasks of what was found missing.

        Layers are planned together, to share the workers: those found missing, and those `beside` them whose imported
        activations are still to come, or have been there before.
        """
        parts: list[Part[PartName]] = []
        plans = self.stage.plans(self.run, list(self.missing), workers, self.beside) if self.missing else {}
        for layer, missing in self.missing.items():
            with self._refusing(layer):
                parts += self._build_layer(layer, missing, plans[layer])
        if self.missing and not self._n_tasks:
            self._keep({})  # of parts that are tried again
        self.missing = {}
        self._n_tasks += sum(len(part.tasks) for part in parts)
        groups = self.stage.groups(self.run.study, list(dict.fromkeys(part.name[1] for part in parts)))
        self.run.written.update(groups if parts else ())
        return parts

    def _build_layer(self, layer: str, missing: Seeds, plan: Any) -> list[Part[PartName]]:
        if isinstance(plan, Refusal):
            raise plan.error
        self.stage.prepare(self.run, layer, plan)
        with refusals_as_values():
            tasks = self.stage.tasks(self.run, layer, missing, plan)
        width = self.run.store.layer(layer).sizes["feature"] if layer else 0
        priority = self.stage.urgency * 2**32 + width  # the widest layers take longest
        return [
            Part((self.stage.name, layer, seed), some, self.label, priority, self.stage.opens)
            for seed, some in tasks.items()
            if some
        ]

    def settle(self, layer: str, seed: int | str | None, error: InputError | None) -> None:
        """Note that a part is done, or why it refused."""
        if error is None:
            self.complete.add(layer)
        else:
            self._refused[layer, seed] = error

    def refuses(self, layer: str) -> bool:
        """Whether a layer, or a seed of it, was refused."""
        return any(layer == other for other, _ in self._refused)

    def end(self) -> None:
        """Keep what could not be computed, and how much was."""
        if self._n_tasks:
            self.run.outcome.count(self.label, self._n_tasks)
        self._keep(self._refused)

    def _keep(self, refused: Mapping[tuple[str, int | str | None], InputError]) -> None:
        failures = [Failure.of(self.stage.name, layer, seed, error) for (layer, seed), error in refused.items()]
        study = self.run.study
        keep_failures(
            self.run.store, self.stage.name, failures, layers=["", *study.layers], seeds=self.stage.seeds(study)
        )

    @contextmanager
    def _refusing(self, layer: str) -> Iterator[None]:
        try:
            yield
        except StoreMismatchError:
            raise
        except InputError as error:
            self._refused[layer, None] = error
