"""The stages in order: what is missing is computed, what is there is left alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from distspc.errors import InputError
from distspc.images.changes import Changes
from distspc.images.inventory import table_changes
from distspc.pipeline.comparison import refuse_other_results
from distspc.pipeline.compute import Progress, no_progress
from distspc.pipeline.connections import DEFAULT_PROFILE, Clusters, ImportsAhead
from distspc.pipeline.given_back import refuse_update, settle_given_back
from distspc.pipeline.needs.engines import settle_engines
from distspc.pipeline.needs.rounds import disk_peak, keeps_all, kept_layers, study_rounds
from distspc.pipeline.stages.base import Connect, Outcome, Run, Stage, study_failures
from distspc.pipeline.stages.by_layer import LayerStage, compute_layers
from distspc.pipeline.stages.registry import STAGES, rested_on, resting_on
from distspc.pipeline.status import Statuses, status_card, study_status
from distspc.pipeline.update import begin_update, changed_images, n_known_images, staged_study
from distspc.results.card import Card, card_of, study_name
from distspc.store.access import check_store_path, explain_disk_errors, lock, read_only_error
from distspc.store.activations import give_back, has_activations, left_of_given_back
from distspc.store.failures import forget_failures
from distspc.store.replacement import complete_replacement, is_half_replaced, put_in_place, read_whole
from distspc.store.store import Store
from distspc.store.verify import remove_partial_chunks
from distspc.study.file import StageName, StudyFile
from distspc.study.images import StudyImages
from distspc.study.networks import StudyNetwork

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

    from distspc.pipeline.plan import StudyPlan
    from distspc.results.tree import Results
    from distspc.scoring.images import Given


logger = logging.getLogger(__name__)


class Study(StudyFile):
    """A study that can be run: `Study.from_file("study.yaml").run(client)`."""

    def run(
        self,
        client: Client | None = None,
        *,
        profile: str | None = None,
        overrides: Sequence[str] = (),
        stages: Sequence[StageName] = tuple(STAGES),
        strict: bool = False,
        redo: bool = False,
        extract_again: bool = False,
        update: bool = False,
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
        extract_again
            Extract layers again that were given back, where these stages need them.
        update
            Where the images have changed, keep the activations of those that are known by the digest of their bytes,
            whatever their names and order, and compute what else there is anew. Results equal those of a new study.
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
            outcome = run_stages(
                settle_engines(self, lambda: _has_gpu(client) if client is not None else clusters.has_gpu("extract")),
                clusters if client is None else lambda _: client,
                stages=stages,
                strict=strict,
                redo=redo,
                extract_again=extract_again,
                update=update,
                progress=progress,
                place=clusters.profile_of if client is None else _anywhere,
            )
        for failure in outcome.failures:
            logger.warning("%s", failure.sentence)
        return self.results()

    def results(self) -> Results:
        """Open the store lazily: an xarray DataTree that also gives the tidy table (`to_dataframe`)."""
        from distspc.results.tree import open_results

        return open_results(self.store)

    def score(
        self,
        images: Given,
        client: Client | None = None,
        *,
        layers: Sequence[str] | None = None,
        profile: str | None = None,
        overrides: Sequence[str] = (),
        progress: Progress = no_progress,
    ) -> pd.DataFrame:
        """Measure images that are not in the study against it: the study is only read, and each row is its own.

        Parameters
        ----------
        images
            Paths of image files, of folders, of tables with a column ``path``, one or several; or such a table as a
            data frame.
        client
            Dask client for all that is to do; it wins over `profile`.
        layers
            Layers; all of the study by default.
        profile, overrides
            Where to compute, as `distspc.deploy` takes them; in this process by default.
        progress
            Called with a label, the number of tasks done and their total.

        Returns
        -------
        DataFrame
            A row per image and layer (`distspc.scoring.table.score_table`); ``attrs`` has ``notices``, what could not
            be given and why, and ``skipped``, files that could not be used with their reasons.

        Raises
        ------
        InputError
            If no image can be used, the study has nothing to score against, or holds results of other settings.
        """
        from distspc.pipeline.score import connection, score_images
        from distspc.results.measures import with_models

        with connection(self, profile, overrides) as connect:
            own = (lambda: client) if client is not None else connect if profile is not None or overrides else None
            scored = score_images(
                self, images, layers=layers, connect=own, always_connect=own is not None, progress=progress
            )
        scored.forget()
        table = with_models(scored.table)
        table.attrs = {"notices": scored.notices, "skipped": list(scored.images.skipped)}
        return table

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
        from distspc.pipeline.check import as_table, check_study
        from distspc.pipeline.plan import profile_resources

        return as_table(check_study(self, profile_resources(self, profile, overrides, "local")))

    def plan(
        self,
        *,
        profile: str | None = None,
        overrides: Sequence[str] = (),
        gflops_per_core: float | None = None,
        update: bool = False,
    ) -> StudyPlan:
        """Plan what the study will cost: tasks, memory, bytes and seconds of every stage; nothing is computed.

        Parameters
        ----------
        profile, overrides
            Where it would run, as `distspc.deploy` takes them; by default what the study says, else locally.
        gflops_per_core
            GFLOP/s of float32 products of one core of a worker; by default those of one here, measured.
        update
            Of a run with `update`: known images are not computed again. Files that the store does not know are read.

        Raises
        ------
        InputError
            If the images cannot be listed or are too few, or a task does not fit into a worker's memory.
        """
        from distspc.pipeline.plan import plan_whole, profile_resources
        from distspc.study.images import check_sizes, count_images

        n_targets, n_fillers = count_images(self)
        check_sizes(self, n_targets, n_fillers)
        resources = profile_resources(self, profile, overrides, DEFAULT_PROFILE, gflops_per_core)
        changes = changed_images(self, StudyImages(self)) if update else None
        n_known = n_known_images(self, changes)
        found = plan_whole(self, n_targets=n_targets, n_fillers=n_fillers, resources=resources, n_known=n_known)
        return found if changes is None else replace(found, changes=changes, extra_nbytes=found.disk_nbytes)

    def clean(
        self,
        *,
        activations: bool | Sequence[str] = False,
        units: bool = False,
        logs: bool = False,
        reports: bool = False,
        force: bool = False,
    ) -> pd.DataFrame:
        """List what can be given back of the disk, or give it back; what is done stays done.

        Parameters
        ----------
        activations
            Give back the activations, of all layers or of these.
        units, logs, reports
            Give back work files of the reconstruction, logs of jobs, what is out of date of the report.
        force
            Give back activations too that are incomplete, or that stages still need.

        Returns
        -------
        DataFrame
            What can be given back, or what was: columns ``kind``, ``name`` (the layer, or which files), ``nbytes`` and
            ``note``.

        Raises
        ------
        StoreBusyError
            If a run holds the store.
        InputError
            If activations are still needed; names layer and stage.
        """
        from distspc.pipeline.clean import Choice, Kind, as_table, clean, list_items

        chosen: dict[Kind, Any] = {"activations": activations, "units": units, "logs": logs, "reports": reports}
        kinds = [kind for kind, value in chosen.items() if value]
        if not kinds:
            return as_table(list_items(self))
        layers = () if isinstance(activations, bool) else activations
        return as_table(clean(self, Choice(kinds, layers), force=force))

    def status(self) -> Statuses:
        """How far every stage is, layer by layer, without computing anything; a notebook shows a table."""
        return read_whole(self.stored, lambda: Statuses(study_status(self)))

    def __repr__(self) -> str:
        title = f"Study {study_name(self.store)}"
        return card_of(title, lambda: Card(title, self._facts)).text()

    __str__ = __repr__

    def _repr_html_(self) -> str:
        title = f"Study {study_name(self.store)}"
        return card_of(title, lambda: status_card(title, self.status(), self._facts)).html()

    @property
    def _facts(self) -> list[tuple[str, str]]:
        """What is to be seen of a study at once, from its file alone."""
        images = self.images and (self.images.table or self.images.targets)
        weights = [one.titled(_network_in_words(one)) for one in self.networks]
        found = {
            "images": images,
            "network": "" if self.activations else ", ".join(weights),
            "activations": self.activations and "your own",
            "layers": ", ".join(self.layers),
            "scores": self.scores and (self.scores.file or self.scores.trials),
            "store": self.store if self.store.exists() else f"{self.store}, to be made",
            "report": self.report if self.report.exists() else f"{self.report}, to be written",
        }
        return [(name, str(value)) for name, value in found.items() if value]


def _network_in_words(network: StudyNetwork) -> str:
    weights, engine = network.options.weights, network.options.engine
    return f"{weights} (engine {engine})" if engine else str(weights)


def _has_gpu(client: Client) -> bool:
    return any("GPU" in worker["resources"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())


def _anywhere(stage: StageName) -> Hashable:
    return None


def run_stages(
    study: StudyFile,
    connect: Connect,
    *,
    stages: Sequence[StageName] = tuple(STAGES),
    strict: bool = False,
    redo: bool = False,
    extract_again: bool = False,
    update: bool = False,
    progress: Progress = no_progress,
    images: StudyImages | None = None,
    place: Callable[[StageName], Hashable] = _anywhere,
    before: Sequence[Store] = (),
) -> Outcome:
    """Run stages under the store's lock, those that go layer by layer side by side.

    Parameters
    ----------
    study
        The study.
    connect
        Gives a client for a stage once it is needed.
    stages, strict, redo, extract_again, update, progress
        As in `Study.run`.
    images
        Those of the study, where they may be listed already.
    place
        Where a stage runs; stages of one place can share a client. All of them by default.
    before
        Stores of the study on other images, whose activations are taken.

    Returns
    -------
    Outcome

    Raises
    ------
    StoreBusyError
        If another run holds the store.
    InputError
        If something given cannot be used.
    """
    wanted, images = [stage for name, stage in STAGES.items() if name in stages], images or StudyImages(study)
    check_store_path(study.store)
    _complete_replacement(study.stored)
    if update and redo:
        raise InputError("--update keeps stored activations and --redo deletes them: use only one of the two")
    if update and (changes := changed_images(study, images)) is not None:
        if not extract_again:
            refuse_update(study, images)
        runs: dict[str, Any] = {"strict": strict, "progress": progress, "place": place}
        done = _update(study, connect, stages, images, changes, runs)
        return done.then(run_stages(study, connect, stages=stages, **runs))
    gone = {stage.name for stage in resting_on(stages)} if redo else set()
    refuse_other_results(study, rested_on(stages) - gone, images)
    for stage in wanted:
        stage.check(study, images, stages)
    ahead = ImportsAhead([name for stage in wanted if not stage.on_cluster for name in stage.imports])
    connect = ahead.once_connected(connect)
    run = Run(study, images, connect, strict=strict, progress=progress, before=tuple(before))
    with explain_disk_errors(study.store, partial(_store_nbytes, study, images)), lock(study.store) as run.writable:
        if run.writable:
            remove_partial_chunks(study.stored)
        settle_given_back(run, wanted, redone=gone, again=extract_again)
        if redo:
            run.require_writable()
            _forget(study, stages)
        by_round = [stage for stage in wanted if stage.on_cluster]
        for part in _rounds(run, by_round):
            for some in _side_by_side(by_round, part.study, place):
                _run_side_by_side(part, some)
            _give_back(part, by_round)
        ahead.wait()
        for some in _side_by_side([stage for stage in wanted if not stage.on_cluster], study, place):
            _run_side_by_side(run, some)
        if run.writable:  # by workers that were killed in this run
            remove_partial_chunks(study.stored)
    holes = rested_on(stages)
    run.outcome.failures = [one for one in study_failures(study) if one.stage in holes]
    return run.outcome


def _store_nbytes(study: StudyFile, images: StudyImages) -> int:
    """Most bytes that a study's store takes, before compression."""
    n_targets, n_fillers = images.counts
    return disk_peak(study, study_rounds(study, n_targets + n_fillers), n_targets, n_targets + n_fillers)


def _rounds(run: Run, stages: Sequence[Stage]) -> Iterator[Run]:
    """The run in parts, a round of layers each; whole where all layers stay, or where only some stages are run."""
    study = run.study
    if not stages or keeps_all(study):
        yield run
        return
    if any(stage not in stages for stage in STAGES.values() if stage.reads_activations(study)):
        if any(stage.name == "extract" for stage in stages):
            logger.warning("`keep` saves disk in `distspc run` alone: a stage by itself takes all layers at once")
        yield run
        return
    rounds = study_rounds(study, sum(run.images.counts))
    for i, layers in enumerate(rounds):
        part, title = study.model_copy(update={"layers": layers}), f"round {i + 1} of {len(rounds)}"
        yield replace(run, study=part, whole=study, number=i, progress=_titled(run.progress, title))


def _titled(progress: Progress, title: str) -> Progress:
    def titled(label: str, n_done: int, n_tasks: int) -> None:
        progress(f"{label} ({title})", n_done, n_tasks)

    return titled


def _give_back(run: Run, stages: Sequence[Stage]) -> None:
    """Give back layers that are not kept, and on which nothing rests that is to be computed yet."""
    if not run.writable or not any(stage.name != "extract" for stage in stages):
        return
    kept, failed = kept_layers(run.study), {one.layer for one in study_failures(run.study)}
    for layer in run.study.layers:
        if left_of_given_back(run.store, layer):
            give_back(run.store, layer)
        if layer in kept or layer in failed or not has_activations(run.store, layer):
            continue
        if not any(stage.needs_activations(run, layer) for stage in STAGES.values()):
            try:
                run.outcome.given_back[layer] = give_back(run.store, layer)
            except InputError as error:
                logger.warning("%s is kept: %s", layer, error)


def _complete_replacement(store: Store) -> None:
    """Complete what a run that was stopped has begun to put in the store's place."""
    if is_half_replaced(store):
        with explain_disk_errors(store), lock(store):
            complete_replacement(store)


def _update(
    study: StudyFile,
    connect: Connect,
    stages: Sequence[StageName],
    images: StudyImages,
    changes: Changes,
    runs: Mapping[str, Any],
) -> Outcome:
    """Make the study anew on other images beside its store, all but the page, and put this in the store's place."""
    with explain_disk_errors(study.store), lock(study.store) as writable:
        if not writable:
            raise read_only_error(study.store)
        before = begin_update(study, stages, images)
        staged = staged_study(study)
        logger.info("update: %s", changes.sentence)
        made = [name for name in stages if name != "report"]
        outcome = run_stages(staged, connect, stages=made, before=before, **runs)
        outcome.updated = table_changes(staged.stored, study.stored)
        put_in_place(study.stored)
    return outcome


def _side_by_side(
    stages: Sequence[Stage], study: StudyFile, place: Callable[[StageName], Hashable]
) -> Iterator[list[Stage]]:
    """Stages that follow one another and run together: those that go layer by layer, in one place."""

    def key(stage: Stage) -> Hashable:
        return ("layers", place(stage.name)) if stage.layer_by_layer(study) else ("stage", stage.name)

    for _, some in groupby(stages, key):
        yield list(some)


def _run_side_by_side(run: Run, stages: Sequence[Stage]) -> None:
    """Run stages, and keep with the groups that they compute when they did, also where they are stopped midway."""
    start = datetime.now(UTC)
    run.written.clear()
    try:
        if len(stages) > 1:
            compute_layers(run, [stage for stage in stages if isinstance(stage, LayerStage)])
        else:
            stages[0].run(run)
    finally:
        for group in sorted(run.written):
            if run.store[group].exists():
                run.store[group].mark_written(start)


def _forget(study: StudyFile, stages: Sequence[StageName]) -> None:
    """Remove what stages have made and what rests on it, once it is known that they can be run again."""
    if "extract" not in stages:
        for name in stages:
            STAGES[name].check_stored(study)
    for stage in resting_on(stages):
        for group in stage.makes:
            study.stored[group].remove()
    if study.stored.exists():
        study.stored.set_attributes(report="")
        forget_failures(study.stored, [stage.name for stage in resting_on(stages)])
