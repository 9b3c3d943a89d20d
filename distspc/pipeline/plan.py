"""The plan of a whole study: its stages on the workers of their profiles, and when the last task is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any

from distspc.images.changes import Changes
from distspc.pipeline.cost import measure_gflops, plan_stage, stage_loads
from distspc.pipeline.needs.engines import settle_engines
from distspc.pipeline.needs.rounds import Round, disk_peak, study_rounds
from distspc.pipeline.needs.work import (
    INTERPRETER_NBYTES,
    Loads,
    PlannedIterations,
    Rates,
    Resources,
    Setting,
    StagePlan,
)
from distspc.pipeline.stages.extract import extracted_nbytes
from distspc.pipeline.stages.reconstruct import Reconstruct, planned_iterations
from distspc.pipeline.stages.registry import ON_CLUSTER
from distspc.schedule import Chain, longest_chain, makespan, work
from distspc.store.replacement import read_whole
from distspc.study.file import StageName, StudyFile

GetResources = Callable[[StageName], Resources]


@dataclass(frozen=True)
class StudyPlan:
    """What a study will cost.

    Attributes
    ----------
    stages
        A plan for every stage and layer; the seconds of a stage are those that it takes alone.
    makespan_s
        Seconds until the last task is done: extraction, then distances and reconstruction at the same time where they
        run on the same profile.
    lower_bound_s
        Seconds that no order of the same tasks on the same workers falls short of: all work over the workers, or the
        longest chain of tasks that wait for one another.
    resources
        What each stage runs on.
    rounds
        Layers that are in the store at the same time: all, or those of one round after the other.
    n_passes
        Forward passes, an image through a network each.
    disk_nbytes
        Bytes that the store takes at most, before compression.
    changes
        In what the images differ from those of the store, where this is to be updated.
    extra_nbytes
        Bytes that an update takes at most beside the old store, until it is done.
    iterations
        Iterations a batch that the reconstruction of each layer is planned with; none where it trains in no batches.
    """

    stages: tuple[StagePlan, ...]
    makespan_s: float
    lower_bound_s: float
    resources: dict[StageName, Resources]
    rounds: tuple[Round, ...]
    n_passes: int
    disk_nbytes: int
    changes: Changes | None = None
    extra_nbytes: int = 0
    iterations: Mapping[str, PlannedIterations] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The plan in plain numbers and text; of several profiles, the workers are those of the distances."""
        keys = ("stage", "layer", "n_tasks", "task_nbytes", "io_nbytes", "seconds")
        rows = [(p.stage, p.layer, p.n_tasks, p.task_nbytes, round(p.moved_nbytes), p.seconds) for p in self.stages]
        of_distances = self.resources["distances"]
        return {
            "stages": [dict(zip(keys, row, strict=True)) for row in rows],
            "makespan_s": self.makespan_s,
            "profile": ", ".join(dict.fromkeys(one.profile for one in self.resources.values())),
            "n_workers": of_distances.n_workers,
            "gflops_per_core": of_distances.gflops_per_core,
            "rounds": [list(layers) for layers in self.rounds],
            "forward_passes": self.n_passes,
            "disk_nbytes": self.disk_nbytes,
            "iterations": {layer: {"per_batch": of.mean, "source": of.source} for layer, of in self.iterations.items()},
            **({"update": self.changes.as_dict() | {"extra_nbytes": self.extra_nbytes}} if self.changes else {}),
        }


def plan_whole(
    study: StudyFile, *, n_targets: int, n_fillers: int, resources: GetResources, n_known: int = 0
) -> StudyPlan:
    """Plan a whole study, each stage on its own profile.

    Parameters
    ----------
    study
        The study.
    n_targets, n_fillers
        Images of each role.
    resources
        Gives what a stage runs on.
    n_known
        Images whose activations need not be computed.

    Raises
    ------
    InputError
        If a task does not fit into a worker's memory: names stage, layer, bytes and the way out.
    """
    n_images, own = n_targets + n_fillers, {stage: resources(stage) for stage in ON_CLUSTER}
    study = settle_engines(study, lambda: own["extract"].gpu)
    options = study.reconstruction.options
    took = read_whole(study.stored, partial(Reconstruct().iterations, study))
    known = {layer: found.mean for layer, found in took.items()}
    setting = partial(Setting, n_targets, n_fillers, rates=Rates(), n_known=n_known, iterations=known)
    rounds = study_rounds(study, n_images)
    parts = [study.model_copy(update={"layers": layers}) for layers in rounds]
    plans = [_plan_round(part, own, setting) for part in parts]
    stages = tuple(row for rows, _, _ in plans for row in rows)
    n_networks = sum(len(part.networks) for part in parts) if study.activations is None else 0
    return StudyPlan(
        stages=stages,
        makespan_s=sum(makespan_s for _, makespan_s, _ in plans),
        lower_bound_s=sum(bound_s for _, _, bound_s in plans),
        resources={stage: workers for stage, workers in own.items() if any(row.stage == stage for row in stages)},
        rounds=tuple(rounds),
        n_passes=n_networks * (n_images - n_known),
        disk_nbytes=disk_peak(study, rounds, n_targets, n_images),
        iterations=planned_iterations(options, known, study.layers) if options.solver != "pca" else {},
    )


def _plan_round(
    study: StudyFile, own: Mapping[StageName, Resources], setting: Callable[[Resources], Setting]
) -> tuple[list[StagePlan], float, float]:
    """Stages of a round's layers, seconds until its last task is done, and their lower bound."""
    loads: dict[StageName, Loads] = {}
    for stage, workers in own.items():
        extracted = stage != "extract" and workers == own["extract"]
        nbytes = extracted_nbytes(study) if extracted else INTERPRETER_NBYTES
        loads |= stage_loads(study, replace(setting(workers), worker_nbytes=nbytes), [stage])
    own = {stage: own[stage] for stage in loads}
    plans = [plan for stage, some in loads.items() for plan in plan_stage(stage, some, own[stage])]
    first, *others = (_Phase([loads[stage] for stage in some], own[some[0]].n_workers) for some in _phases(own))
    waited = first.start_s + max(first.share_s, first.longest_s) + sum(phase.longest_s for phase in others)
    shared = first.start_s + sum(phase.share_s for phase in (first, *others))
    return plans, sum(phase.seconds for phase in (first, *others)), max(waited, shared)


def _phases(resources: Mapping[StageName, Resources]) -> list[list[StageName]]:
    """Stages that are handed out together: those after the extraction, where they run on the same workers."""
    after = [stage for stage in resources if stage != "extract"]
    groups: list[list[StageName]] = [[*some] for _, some in groupby(after, key=resources.__getitem__)]
    return [["extract"], *groups]


class _Phase:
    """Work that is handed out together."""

    def __init__(self, loads: Sequence[Loads], n_workers: int) -> None:
        chains: list[Chain] = [steps for some in loads for steps in some.steps]
        self.start_s = sum(some.start_s for some in loads)
        self.share_s, self.longest_s = work(chains) / n_workers, longest_chain(chains)
        self.seconds = self.start_s + makespan(chains, n_workers)


def profile_resources(
    study: StudyFile, profile: str | None, overrides: Sequence[str], default: str, gflops: float | None = None
) -> GetResources:
    """Resources of each stage by the profile it would run on, with the most workers it may have.

    The speed of a core is `gflops` where it is named, or else measured once, here.
    """
    from distspc.deployment.profile.reading import load_profile
    from distspc.deployment.profile.shape import has_gpu, worker_shape

    speed = measure_gflops() if gflops is None else gflops
    known: dict[str, Resources] = {}

    def resources(stage: StageName) -> Resources:
        name = profile or study.profiles.get(stage, default)
        if name not in known:
            loaded = load_profile(name, overrides)
            shape, adapt = worker_shape(loaded), loaded.settings.adapt
            n_workers = adapt.maximum if adapt else shape.n_workers
            known[name] = Resources(n_workers, shape.cores, shape.memory_nbytes, speed, loaded.name, has_gpu(loaded))
        return known[name]

    return resources
