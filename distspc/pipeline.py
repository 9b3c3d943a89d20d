"""The stages in order: what is missing is computed, what is there is left alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distspc import store as zarr_store
from distspc.compute import Progress, compute, run_everywhere, silent, task_memory
from distspc.errors import InputError
from distspc.integrity import claim, disk_told, lock, sweep, unwritable
from distspc.sources import check_sources, list_sources
from distspc.status import (
    RELATED,
    Progressed,
    fingerprint,
    relation_recipe,
    relations_are_current,
    report_is_current,
    study_status,
)
from distspc.study import STAGES, StageName, StudyFile

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client

    from distspc.results import Results

logger = logging.getLogger(__name__)

Connect = Callable[[StageName], "Client | None"]
Build = Callable[[int | None], "list[Delayed]"]

DOWNSTREAM: Mapping[StageName, tuple[str, ...]] = {
    "extract": ("images", "skipped", "activations", "distances", "reconstruction", *RELATED),
    "distances": ("distances", *RELATED),
    "reconstruct": ("reconstruction", *RELATED),
    "relate": RELATED,
    "report": (),
}
"""Groups that a stage makes, or that rest on what it makes: gone when the stage is redone."""


@dataclass
class Outcome:
    """What a run did."""

    computed: dict[str, int] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    report: Path | None = None


class Study(StudyFile):
    """A study that can be run: `Study.from_file("study.yaml").run(client)`."""

    def run(
        self,
        client: Client | None = None,
        *,
        stages: Sequence[StageName] = STAGES,
        strict: bool = False,
        redo: bool = False,
        progress: Progress = silent,
    ) -> Results:
        """Run the stages that are not done and open the results lazily.

        Parameters
        ----------
        client
            Dask client; None computes in this process, one task after the other.
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
            If something given cannot be used, or the store holds results of other settings.
        """
        run_stages(self, lambda _: client, stages=stages, strict=strict, redo=redo, progress=progress)
        return self.results()

    def results(self) -> Results:
        """Open the store lazily: an xarray DataTree that also gives the tidy table (`to_dataframe`)."""
        from distspc.results import open_results

        return open_results(self.store)

    def status(self) -> list[Progressed]:
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
            raise unwritable(self.study.store)

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
        tasks = build(task_memory(client))
        resource = "GPU" if stage == "extract" else None
        results = compute(tasks, client, label=label, progress=self.progress, resource=resource, gather=gather)
        self.outcome.computed[label] = len(tasks)
        return results

    def extract(self) -> None:
        from distspc import activations

        study = self.study
        if study.activations is not None:
            directory = study.activations
            self.compute(
                "extract",
                "import activations",
                lambda _: activations.import_activations(study.store, directory=directory, layers=study.layers),
            )
            return
        self._take_inventory()
        model = study.model
        self.compute(
            "extract",
            "extract",
            lambda _: activations.extract_activations(
                study.store,
                layers=study.layers,
                weights=model.weights,
                digest=model.digest,
                preprocessing=model.preprocessing,
                batch_size=model.batch_size,
                precision=model.precision,
                dtype=model.storage,
                seed=model.seed,
            ),
        )
        if "extract" in self.outcome.computed:
            run_everywhere(activations.release, self.connect("extract"))

    def _take_inventory(self) -> None:
        from distspc.inventory import scan_images, skipped_images, write_images

        store, listed, strict = self.study.store, list_sources(self.study), self.strict
        scan = partial(scan_images, store, listed, strict=strict)
        rows = self.compute("extract", "scan images", lambda _: scan(), gather=True)
        write_images(store, listed, rows, strict=strict)
        self.outcome.skipped = skipped_images(store)

    def distances(self) -> None:
        from distspc.distances import nearest_distances, release

        study, settings = self.study, self.study.distinctiveness
        for layer in study.layers:
            _require_activations(study, layer)

        def build(memory: int | None) -> list[Delayed]:
            options: dict[str, Any] = {
                "protocol": settings.protocol,
                "metric": settings.metric,
                "n_neighbours": settings.neighbours,
                "category": settings.category,
                "memory_nbytes": memory,
            }
            return [task for layer in study.layers for task in nearest_distances(study.store, layer=layer, **options)]

        self.compute("distances", "distances", build)
        if "distances" in self.outcome.computed:
            run_everywhere(release, self.connect("distances"))

    def reconstruct(self) -> None:
        from distspc.reconstruction import fit_sparse_code

        study, settings = self.study, self.study.reconstruction
        for layer in study.layers:
            _require_activations(study, layer)

        def build(memory: int | None) -> list[Delayed]:
            built = []
            for layer in study.layers:
                built += fit_sparse_code(
                    study.store,
                    layer=layer,
                    seeds=settings.seeds,
                    n_units=settings.units,
                    n_codewords=settings.codewords,
                    n_batches=settings.batches,
                    batch_size=settings.batch_size,
                    sparsity=settings.sparsity,
                    train_on=settings.train_on,
                    precision=settings.precision,
                    solver=settings.solver,
                    step=settings.step,
                    memory_nbytes=memory,
                )
            return built

        self.compute("reconstruct", "reconstruct", build)

    def relate(self) -> None:
        from distspc import memorability

        study = self.study
        if study.scores is None:
            return
        if relations_are_current(study):
            return
        self.require_writable()
        zarr_store.remove(study.store, "relations")
        self.progress("relate", 0, 1)
        memorability.relate(
            study.store,
            layers=study.layers,
            scores_file=study.scores.file,
            image_column=study.scores.image,
            columns=study.scores.columns,
            n_bootstrap=study.relate.bootstrap,
            interval=study.relate.interval,
            random_state=study.relate.seed,
            given=study.relate.given,
            score_reliability=study.scores.reliability,
            recipe=relation_recipe(study),
        )
        self.progress("relate", 1, 1)
        self.outcome.computed["relate"] = 1

    def report(self) -> None:
        from distspc.report import write_report

        study = self.study
        self.outcome.report = study.report
        if report_is_current(study):
            return
        self.require_writable()
        self.progress("report", 0, 1)
        mark = fingerprint(study)
        write_report(study.store, study.report, layers=study.layers, mark=mark)
        zarr_store.note(study.store, report=mark)
        self.progress("report", 1, 1)
        self.outcome.computed["report"] = 1


def run_stages(
    study: StudyFile,
    connect: Connect,
    *,
    stages: Sequence[StageName] = STAGES,
    strict: bool = False,
    redo: bool = False,
    progress: Progress = silent,
) -> Outcome:
    """Run stages in order under the store's lock; `connect` gives a client for a stage once it is needed.

    Raises
    ------
    StoreBusyError
        If another run holds the store.
    InputError
        If something given cannot be used.
    """
    claim(study.store)
    check_sources(study, stages)
    run = _Run(study, connect, strict=strict, progress=progress)
    with disk_told(study.store), lock(study.store) as run.writable:
        if run.writable:
            sweep(study.store)
        if redo:
            run.require_writable()
            _check_stored(study, stages)
            _forget(study, stages)
        for stage in (s for s in STAGES if s in stages):
            with _times_kept(study, stage, run.outcome):
                run.stage(stage)
    return run.outcome


@contextmanager
def _times_kept(study: StudyFile, stage: StageName, outcome: Outcome) -> Iterator[None]:
    """Keep with the groups of a stage when it computed them, also where it is stopped in the middle."""
    start, n_before = datetime.now(UTC), len(outcome.computed)
    made = {"extract": [f"activations/{layer}" for layer in study.layers], "reconstruct": ["reconstruction"]}
    made |= {"distances": ["distances"], "relate": ["relations"]}
    stopped = True
    try:
        yield
        stopped = False
    finally:
        for group in made.get(stage, []) if stopped or len(outcome.computed) > n_before else []:
            if zarr_store.exists(study.store, group):
                zarr_store.note_written(study.store, group, start)


def _check_stored(study: StudyFile, stages: Iterable[StageName]) -> None:
    """Look at the activations that stages to be redone rest on, before their results are thrown away."""
    from distspc.distance_tasks import Settings
    from distspc.distances import check_distances

    if "extract" in stages or not {"distances", "reconstruct"} & set(stages):
        return
    wanted = study.distinctiveness
    for layer in study.layers:
        _require_activations(study, layer)
        if "distances" in stages:
            settings = Settings(str(study.store), layer, wanted.metric, wanted.neighbours, False, wanted.category, None)
            check_distances(settings, wanted.protocol)


def _forget(study: StudyFile, stages: Iterable[StageName]) -> None:
    for stage in stages:
        for group in DOWNSTREAM[stage]:
            zarr_store.remove(study.store, group)
    if zarr_store.exists(study.store, ""):
        zarr_store.note(study.store, report="")


def _require_activations(study: StudyFile, layer: str) -> None:
    group = f"activations/{layer}"
    if not zarr_store.exists(study.store, group):
        raise InputError(f"{study.store} has no activations of {layer} yet: run `distspc extract` first")
    done = zarr_store.done(study.store, group, "activation")
    if not done.all():
        raise InputError(
            f"{study.store} lacks {done.size - int(done.sum())} of {done.size} chunks of {layer}: "
            "run `distspc extract` to complete them"
        )
