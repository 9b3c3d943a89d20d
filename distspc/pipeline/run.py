"""The stages in order: what is missing is computed, what is there is left alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distspc.errors import InputError, StoreMismatchError
from distspc.pipeline.compute import Progress, compute, compute_parts, no_progress, run_on_all_workers, task_memory
from distspc.pipeline.connections import DEFAULT_PROFILE, Clusters
from distspc.pipeline.status import (
    RELATED,
    StageStatus,
    fingerprint,
    relation_recipe,
    relations_are_current,
    report_is_current,
    shown_results,
    study_failures,
    study_status,
)
from distspc.store.access import check_store_path, explain_disk_errors, lock, read_only_error
from distspc.store.failures import Failure, forget_failures, keep_failures, stored_failures
from distspc.store.notices import Notice, keep_notices
from distspc.store.verify import remove_partial_chunks
from distspc.study.comparison import refuse_other_results
from distspc.study.file import STAGES, StageName, StudyFile
from distspc.study.images import check_sources, list_sources
from distspc.tasks import refusals_as_values

if TYPE_CHECKING:
    import pandas as pd
    from dask.delayed import Delayed
    from distributed import Client

    from distspc.results.tree import Results


logger = logging.getLogger(__name__)

Connect = Callable[[StageName], "Client | None"]
Build = Callable[[int | None], "list[Delayed]"]
Part = tuple[str, int | None]
BuildLayer = Callable[[str, int | None], "Mapping[int | None, Sequence[Delayed]]"]
"""Gives the missing tasks of a layer by seed (None: no seeds), for the memory of a task."""

DOWNSTREAM: Mapping[StageName, tuple[str, ...]] = {
    "extract": ("images", "skipped", "activations", "distances", "reconstruction", *RELATED),
    "distances": ("distances", *RELATED),
    "reconstruct": ("reconstruction", *RELATED),
    "relate": RELATED,
    "report": (),
}
"""Groups that a stage makes, or that rest on what it makes: gone when the stage is redone."""

RESTS_ON: Mapping[StageName, tuple[StageName, ...]] = {
    "extract": ("extract",),
    "distances": ("extract", "distances"),
    "reconstruct": ("extract", "reconstruct"),
    "relate": STAGES,
    "report": STAGES,
}
"""Stages whose failures leave holes in what a stage gives."""


@dataclass
class Outcome:
    """What a run did."""

    computed: dict[str, int] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    report: Path | None = None


class Study(StudyFile):
    """A study that can be run: `Study.from_file("study.yaml").run(client)`."""

    def run(
        self,
        client: Client | None = None,
        *,
        profile: str | None = None,
        overrides: Sequence[str] = (),
        stages: Sequence[StageName] = STAGES,
        strict: bool = False,
        redo: bool = False,
        progress: Progress = no_progress,
    ) -> Results:
        """Run the stages that are not done and open the results lazily.

        Parameters
        ----------
        client
            Dask client for all stages: it wins over `profile`, and over the ``profiles`` of the study.
        profile, overrides
            Where to compute, as `distspc.deploy` takes them: a cluster is opened when a stage has something to
            compute, and closed at the end. By default each stage runs where the ``profiles`` of the study say, and
            in this process, one task after the other, where they say nothing.
        stages
            Which stages, in their order.
        strict
            Stop at the first image that cannot be used, instead of leaving it out.
        redo
            Throw away what these stages (and those that rest on them) have made, and make it again.
        progress
            Called with a label, the number of tasks done and their total.

        Returns
        -------
        Results
            An xarray DataTree of the store: images, activations by layer, distances, reconstruction, relations.

        Raises
        ------
        InputError
            If something given cannot be used, or the store holds results of other settings. A layer or seed that
            cannot be computed is no error: it is logged, and `status` and the results' attribute ``failures`` name it.
        """
        default = DEFAULT_PROFILE if overrides else None
        with Clusters(self, profile, overrides, name=self.store.stem, default=default) as clusters:
            connect = clusters if client is None else lambda _: client
            outcome = run_stages(self, connect, stages=stages, strict=strict, redo=redo, progress=progress)
        for failure in outcome.failures:
            logger.warning("%s", failure.sentence)
        return self.results()

    def results(self) -> Results:
        """Open the store lazily: an xarray DataTree that also gives the tidy table (`to_dataframe`)."""
        from distspc.results.tree import open_results

        return open_results(self.store)

    def check(self, *, profile: str | None = None, overrides: Sequence[str] = ()) -> pd.DataFrame:
        """Look at all that a run will need; nothing is computed.

        Parameters
        ----------
        profile, overrides
            Where it would run, as `distspc.deploy` takes them; by default what the study says, else locally.

        Returns
        -------
        DataFrame
            Columns ``subject``, ``state`` (``ok``, or ``problem`` where a run would end with an error) and ``finding``.
        """
        from distspc.pipeline.check import as_table, check_study, profile_resources

        return as_table(check_study(self, profile_resources(self, profile, overrides, "local")))

    def status(self) -> list[StageStatus]:
        """How far every stage is, layer by layer, without computing anything."""
        return list(study_status(self))


class _Run:
    """One run over the stages: computes what is missing, on a client that is opened only when needed."""

    def __init__(self, study: StudyFile, connect: Connect, *, strict: bool, progress: Progress) -> None:
        self.study, self.connect, self.strict, self.progress = study, connect, strict, progress
        self.outcome = Outcome()
        self.writable = True

    def require_writable(self) -> None:
        if not self.writable:
            raise read_only_error(self.study.store)

    def stage(self, name: StageName) -> None:
        {
            "extract": self.extract,
            "distances": self.distances,
            "reconstruct": self.reconstruct,
            "relate": self.relate,
            "report": self.report,
        }[name]()

    def compute(self, stage: StageName, label: str, build: Build, *, gather: bool = False) -> list[Any]:
        # Built without a cluster first: a finished study never starts one.
        if not build(None):
            return []
        self.require_writable()
        client = self.connect(stage)
        with refusals_as_values():
            tasks = build(task_memory(client))
        resource = "GPU" if stage == "extract" else None
        results = compute(tasks, client, label=label, progress=self.progress, resource=resource, gather=gather)
        self.outcome.computed[label] = len(tasks)
        return results

    def compute_layers(
        self, stage: StageName, build: BuildLayer, *, label: str = "", seeds: Sequence[int] = ()
    ) -> None:
        """Compute what can be computed of every layer and seed; the store keeps what cannot, and why."""
        keep = partial(keep_failures, self.study.stored, stage, layers=self.study.layers, seeds=seeds)
        label, layers = label or stage, self.study.layers if stage == "extract" else _usable_layers(self.study)
        parts, refused = _built(build, layers, None)
        if parts:
            self.require_writable()
            client = self.connect(stage)
            parts, refused = _built(build, layers, task_memory(client))
            keep([])  # of parts that are tried again
        if parts:
            refused |= compute_parts(parts, client, label=label, progress=self.progress)
            self.outcome.computed[label] = sum(len(tasks) for tasks in parts.values())
        keep([Failure.of(stage, layer, seed, error) for (layer, seed), error in refused.items()])

    def extract(self) -> None:
        from distspc.extraction import forward, npy_import
        from distspc.extraction.build import extract_activations

        study = self.study
        if study.activations is not None:
            directory = study.activations

            def build(layer: str, _: int | None) -> dict[int | None, list[Delayed]]:
                return {None: npy_import.import_activations(study.store, directory=directory, layers=[layer])}

            self.compute_layers("extract", build, label="import activations")
            return
        self._take_inventory()
        self.compute(
            "extract",
            "extract",
            lambda _: extract_activations(study.store, layers=study.layers, **asdict(study.model.options)),
        )
        if "extract" in self.outcome.computed:
            run_on_all_workers(forward.release, self.connect("extract"))

    def _take_inventory(self) -> None:
        from distspc.images.inventory import note_folders, scan_images, skipped_images, write_images

        store, listed, strict = self.study.stored, list_sources(self.study), self.strict
        scan = partial(scan_images, store, listed, strict=strict)
        rows = self.compute("extract", "scan images", lambda _: scan(), gather=True)
        write_images(store, listed, rows, strict=strict)
        images = self.study.images
        note_folders(store, [f for f in (images.targets, images.fillers) if f] if images and not images.table else [])
        self.outcome.skipped = skipped_images(store)

    def distances(self) -> None:
        from distspc.distances.build import nearest_distances
        from distspc.distances.reading import release

        study = self.study

        def build(layer: str, memory: int | None) -> dict[int | None, list[Delayed]]:
            options = asdict(study.distinctiveness.options)
            return {None: nearest_distances(study.store, layer=layer, memory_nbytes=memory, **options)}

        self.compute_layers("distances", build)
        if "distances" in self.outcome.computed:
            run_on_all_workers(release, self.connect("distances"))

    def reconstruct(self) -> None:
        from distspc.reconstruction.build import fit_sparse_code
        from distspc.reconstruction.fit import missing_seeds
        from distspc.reconstruction.gather import remove_units

        study, settings = self.study, self.study.reconstruction

        def build(layer: str, memory: int | None) -> dict[int | None, list[Delayed]]:
            tasks = fit_sparse_code(
                study.store,
                layer=layer,
                seeds=settings.seeds,
                memory_nbytes=memory,
                **asdict(settings.options),
            )
            missing = missing_seeds(study.stored, layer, settings.seeds)
            return {seed: [task] for seed, task in zip(missing, tasks, strict=True)}

        self.compute_layers("reconstruct", build, seeds=settings.seeds)
        for failure in stored_failures(study.stored):
            if failure.stage == "reconstruct":
                remove_units(study.stored, failure.layer)

    def relate(self) -> None:
        from distspc.memorability import relations

        study = self.study
        if study.scores is None:
            return
        if relations_are_current(study):
            return
        self.require_writable()
        study.stored.relations.remove()
        given, lost = self._controls()
        if given is None:
            error = InputError("no layer has a measure")
            keep_failures(study.stored, "relate", [Failure.of("relate", "", None, error)])
            return
        self.progress("relate", 0, 1)
        relations.relate(
            study.store,
            layers=study.layers,
            seeds=study.reconstruction.seeds,
            scores_file=study.scores.file,
            image_column=study.scores.image,
            columns=study.scores.columns,
            missing=study.scores.missing,
            **{**asdict(study.relate.options), "given": given},
            score_reliability=study.scores.reliability,
            recipe=relation_recipe(study),
        )
        keep_failures(study.stored, "relate", [])
        notices = [Notice(f"{name} is not controlled for: it could not be computed.", warning=True) for name in lost]
        keep_notices(study.stored.relations, "given", notices)
        self.progress("relate", 1, 1)
        self.outcome.computed["relate"] = 1

    def _controls(self) -> tuple[list[str] | None, list[str]]:
        """Controls that there are, None if there is no measure at all; and those that failed with their layer."""
        from distspc.results.measures import wide_table
        from distspc.results.tidy import tidy_table

        failed = {one.layer for one in study_failures(self.study)}
        given = list(self.study.relate.given)
        if not failed:
            return given, []
        table = tidy_table(self.study.store)
        known = wide_table(table[table["layer"].isin(self.study.layers)]).columns
        lost = [name for name in given if name not in known and name.partition(":")[2] in failed]
        return ([name for name in given if name not in lost] if len(known) else None), lost

    def report(self) -> None:
        from distspc.report.page import write_report

        study = self.study
        self.outcome.report = study.report
        if report_is_current(study):
            return
        self.require_writable()
        self.progress("report", 0, 1)
        mark = fingerprint(study)
        write_report(study.store, study.report, mark=mark, **shown_results(study))
        study.stored.set_attributes(report=mark)
        self.progress("report", 1, 1)
        self.outcome.computed["report"] = 1


def run_stages(
    study: StudyFile,
    connect: Connect,
    *,
    stages: Sequence[StageName] = STAGES,
    strict: bool = False,
    redo: bool = False,
    progress: Progress = no_progress,
) -> Outcome:
    """Run stages in order under the store's lock; `connect` gives a client for a stage once it is needed.

    Raises
    ------
    StoreBusyError
        If another run holds the store.
    InputError
        If something given cannot be used.
    """
    check_store_path(study.store)
    refuse_other_results(study, _rested_on(stages, redo=redo))
    check_sources(study, stages)
    run = _Run(study, connect, strict=strict, progress=progress)
    with explain_disk_errors(study.store), lock(study.store) as run.writable:
        if run.writable:
            remove_partial_chunks(study.stored)
        if redo:
            run.require_writable()
            _check_stored(study, stages)
            _forget(study, stages)
        for stage in (s for s in STAGES if s in stages):
            with _times_kept(study, stage, run.outcome):
                run.stage(stage)
    holes = {other for stage in stages for other in RESTS_ON[stage]}
    run.outcome.failures = [one for one in study_failures(study) if one.stage in holes]
    return run.outcome


def _rested_on(stages: Sequence[StageName], *, redo: bool) -> set[StageName]:
    """Stages whose results are kept and used, so that they must be the study's own."""
    used = {other for stage in stages for other in RESTS_ON[stage]}
    gone = {other for stage in stages for other in STAGES if redo and stage in RESTS_ON[other]}
    return used - gone


@contextmanager
def _times_kept(study: StudyFile, stage: StageName, outcome: Outcome) -> Iterator[None]:
    """Keep with the groups of a stage when it computed them, also where it is stopped in the middle."""
    start, n_before = datetime.now(UTC), len(outcome.computed)
    made = {"extract": [f"activations/{layer}" for layer in study.layers], "reconstruct": ["reconstruction"]}
    made |= {"distances": ["distances"], "relate": ["relations"]}

    def note() -> None:
        for group in made.get(stage, []):
            if study.stored[group].exists():
                study.stored[group].mark_written(start)

    try:
        yield
    except InputError:
        raise  # refused: nothing was written
    except BaseException:
        note()
        raise
    if len(outcome.computed) > n_before:
        note()


def _built(
    build: BuildLayer, layers: Sequence[str], memory: int | None
) -> tuple[dict[Part, Sequence[Delayed]], dict[Part, InputError]]:
    """Missing tasks by layer and seed, and the layers for which there can be none."""
    parts: dict[Part, Sequence[Delayed]] = {}
    refused: dict[Part, InputError] = {}
    for layer in layers:
        try:
            with refusals_as_values():
                parts |= {(layer, seed): tasks for seed, tasks in build(layer, memory).items() if tasks}
        except StoreMismatchError:
            raise
        except InputError as error:
            refused[layer, None] = error
    return parts, refused


def _check_stored(study: StudyFile, stages: Iterable[StageName]) -> None:
    """Look at the activations that stages to be redone rest on, before their results are thrown away."""
    from distspc.distances.checks import check_distances
    from distspc.distances.options import LayerOptions

    if "extract" in stages or not {"distances", "reconstruct"} & set(stages):
        return
    for layer in _usable_layers(study):
        if "distances" in stages:
            check_distances(LayerOptions(**asdict(study.distinctiveness.options), store=study.stored, layer=layer))


def _forget(study: StudyFile, stages: Iterable[StageName]) -> None:
    for stage in stages:
        for group in DOWNSTREAM[stage]:
            study.stored[group].remove()
    if study.stored.exists():
        study.stored.set_attributes(report="")
        forget_failures(study.stored, [other for stage in stages for other in STAGES if stage in RESTS_ON[other]])


def _usable_layers(study: StudyFile) -> list[str]:
    """Layers whose activations are there; raises for those that lack them, but for those that could not have them."""
    failed = {one.layer for one in study_failures(study) if one.stage == "extract"}
    layers = [layer for layer in study.layers if layer not in failed]
    for layer in layers:
        _require_activations(study, layer)
    return layers


def _require_activations(study: StudyFile, layer: str) -> None:
    group = f"activations/{layer}"
    if not study.stored[group].exists():
        raise InputError(f"{study.store} has no activations of {layer} yet: run `distspc extract` first")
    done = study.stored[group].done("activation")
    if not done.all():
        raise InputError(
            f"{study.store} lacks {done.size - int(done.sum())} of {done.size} chunks of {layer}: "
            "run `distspc extract` to complete them"
        )
