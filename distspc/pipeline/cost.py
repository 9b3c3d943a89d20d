"""What a study will cost before it is run: tasks, memory, bytes and time of every stage, from sizes alone.

The work of a stage is its floating-point operations over what a worker's cores do of a float32 matrix product, times
the share of it that the stage has been measured to reach, plus the bytes it moves and a little for every task; its time
is that of these tasks handed out in order to the workers. What the model takes from measurements is in `Rates`; a
measured sample of a study gives rates of its own (`fit_rates`). An estimate for choosing a profile, not a promise.
"""

from __future__ import annotations

import heapq
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from distspc.distances.plan import LayerSize, plan_distances
from distspc.errors import InputError
from distspc.kernels.sparse_coding.iteration import PAPER
from distspc.kernels.sparse_coding.stability import largest_stable_norm
from distspc.layers import forward_flop, n_features
from distspc.messages import format_nbytes
from distspc.pipeline.compute import MEMORY_SHARE
from distspc.reconstruction.gather import gather_rows
from distspc.store.chunks import IMAGES_PER_CHUNK, activation_chunks
from distspc.study.file import StageName, StudyFile

INTERPRETER_NBYTES = 250 * 2**20
MODEL_NBYTES = 1400 * 2**20
FORWARD_NBYTES_PER_IMAGE = 30 * 2**20
"""Memory of a worker with its imports, of one with the network's and VGG-16 as well, and of one image on its way."""


@dataclass(frozen=True)
class Rates:
    """What the model takes from measurements; the defaults are those of `benchmarks/README.md`, of one machine.

    Attributes
    ----------
    efficiency
        Share of the float32 matrix product's speed that a stage reaches.
    float64_share
        Speed of float64 products over that of float32.
    train_steps, test_steps
        Inner steps of a batch (mean over the training, without shortened ones) and of the final encoding; they depend
        on the data: 12 to 37 and 10 to 52 in the layers of the classic study.
    shortened_batches, shortened_steps
        Batches of a training whose step is shortened (``step: stable``), and the inner steps of one of these.
    store_bytes_per_s
        Bytes that a worker reads or writes per second, decoding included.
    task_s
        Seconds of a task beside its work: handed out, the store opened.
    start_s
        Seconds until a worker has imported what the network needs and built it.
    """

    efficiency: Mapping[StageName, float] = field(
        default_factory=lambda: {"extract": 0.90, "distances": 0.70, "reconstruct": 0.50}
    )
    float64_share: float = 0.5
    train_steps: float = 16.0
    test_steps: float = 18.0
    shortened_batches: float = 40.0
    shortened_steps: float = 50.0
    store_bytes_per_s: float = 400e6
    task_s: float = 0.02
    start_s: float = 10.0


@dataclass(frozen=True)
class Resources:
    """What a stage runs on: workers, cores and memory (bytes) of each, GFLOP/s of one core's float32 product."""

    n_workers: int
    cores: int
    memory_nbytes: int
    gflops_per_core: float


@dataclass(frozen=True)
class StagePlan:
    """One stage of one layer: its tasks, the memory of the largest, bytes moved, operations, seconds on the workers."""

    stage: StageName
    layer: str
    n_tasks: int
    task_nbytes: int
    moved_nbytes: float
    flop: float
    seconds: float


def measure_gflops(n: int = 1024, *, repeats: int = 3, dtype: str = "float32", n_threads: int | None = None) -> float:
    """GFLOP/s of a matrix product on one core of this machine, now, while others are as busy (a fraction of a second).

    Parameters
    ----------
    n
        Rows and columns.
    repeats
        The best of these counts.
    dtype
        Type of the numbers.
    n_threads
        Products side by side, one core each; None: one for every core of this process.
    """
    from threadpoolctl import threadpool_limits

    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = n_threads or n_cores
    a = np.ones((n, n), dtype=dtype)
    outputs = [np.empty_like(a) for _ in range(count)]
    best = math.inf
    with threadpool_limits(1), ThreadPoolExecutor(count) as pool:
        for _ in range(repeats + 1):  # the first starts the threads
            start = time.perf_counter()
            list(pool.map(lambda out: np.matmul(a, a, out=out), outputs))
            best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best / 1e9


def store_nbytes(study: StudyFile, n_images: int) -> int:
    """Bytes of all activations before compression."""
    item = 2 if study.model.dtype == "float16" else 4
    return sum(n_features(layer) * n_images * item for layer in study.layers)


def plan_study(
    study: StudyFile, *, n_targets: int, n_fillers: int, resources: Resources, rates: Rates | None = None
) -> tuple[StagePlan, ...]:
    """Plan every stage of a study.

    Parameters
    ----------
    study
        The study.
    n_targets, n_fillers
        Images of each role.
    resources
        What it runs on.
    rates
        Measured constants of the model; by default those of `Rates`.

    Returns
    -------
    tuple of StagePlan

    Raises
    ------
    InputError
        If a task does not fit into a worker's memory: names stage, layer, bytes and the way out.
    """
    model = _Model(study, resources, rates or Rates())
    n_images = n_targets + n_fillers
    plans = (*model.extract(n_images), *model.distances(n_targets, n_fillers), *model.reconstruct(n_images))
    for plan in plans:
        if plan.task_nbytes > resources.memory_nbytes:
            name = f"{plan.stage} {plan.layer}".strip()
            raise InputError(
                f"{name}: a task needs about {format_nbytes(plan.task_nbytes)} and a worker of this "
                f"profile has {format_nbytes(resources.memory_nbytes)}; give each worker more memory (fewer workers on "
                "this machine, or `memory` in the profile)"
            )
    return plans


def fit_rates(
    study: StudyFile,
    measured: Mapping[StageName, float],
    *,
    n_targets: int,
    n_fillers: int,
    resources: Resources,
    rates: Rates | None = None,
) -> Rates:
    """Rates whose efficiencies make the plan of a sample give the seconds that its stages were measured to take.

    Parameters
    ----------
    study, n_targets, n_fillers, resources
        The sample, as for `plan_study`.
    measured
        Seconds by stage.
    rates
        The other constants, which stay; best measured too.
    """
    rates = rates or Rates()
    # What products take if everything else is as the rates say: all of the time less that of infinitely fast ones.
    free = replace(rates, efficiency=dict.fromkeys(rates.efficiency, math.inf))
    sizes = {"n_targets": n_targets, "n_fillers": n_fillers}
    whole, rest = (_seconds_by_stage(plan_study(study, **sizes, resources=resources, rates=of)) for of in (rates, free))
    efficiency = dict(rates.efficiency)
    for stage, seconds in measured.items():
        # A sample may be too small for the products to be seen at all: they get a twentieth of its time then.
        efficiency[stage] *= (whole[stage] - rest[stage]) / max(seconds - rest[stage], 0.05 * seconds)
    return replace(rates, efficiency=efficiency)


def _seconds_by_stage(plans: tuple[StagePlan, ...]) -> dict[StageName, float]:
    stages = dict.fromkeys(plan.stage for plan in plans)
    return {stage: sum(plan.seconds for plan in plans if plan.stage == stage) for stage in stages}


@dataclass(frozen=True)
class _Load:
    """Work of one layer before it is handed out: operations (float64 ones count for more), bytes, tasks."""

    layer: str
    n_tasks: int
    task_nbytes: int
    moved_nbytes: float
    flop: float


@dataclass(frozen=True)
class _Model:
    """The cost model of one study on some resources."""

    study: StudyFile
    resources: Resources
    rates: Rates

    def extract(self, n_images: int) -> Iterator[StagePlan]:
        """All layers in one task a chunk of images."""
        study, n_tasks = self.study, math.ceil(n_images / IMAGES_PER_CHUNK)
        moved = store_nbytes(study, n_images)
        buffers = 2 * moved / max(n_images, 1) * IMAGES_PER_CHUNK
        if study.activations is not None:
            return self._handed_out("extract", [_Load("", n_tasks * len(study.layers), int(buffers), 2 * moved, 0.0)])
        flop = n_images * max(forward_flop(layer) for layer in study.layers)
        memory = MODEL_NBYTES + study.model.batch_size * FORWARD_NBYTES_PER_IMAGE + buffers
        return self._handed_out("extract", [_Load("", n_tasks, int(memory), moved, flop)], self.rates.start_s)

    def distances(self, n_targets: int, n_fillers: int) -> Iterator[StagePlan]:
        """Tiles as the stage will cut them, whatever the number of workers: the same bytes come of any."""
        n_images, workers = n_targets + n_fillers, self.resources
        pool = (n_targets if self.study.distinctiveness.protocol == "spc-public" else 0, n_images)
        memory, loads = int(MEMORY_SHARE * workers.memory_nbytes), []
        for layer in self.study.layers:
            features = n_features(layer)
            chunk = activation_chunks(n_images, features)
            problem = LayerSize(layer, n_targets, pool, features, chunk["image"], chunk["feature"])
            plan = plan_distances(problem, memory_nbytes=memory)
            flop = 2.0 * n_targets * (pool[1] - pool[0]) * features
            flop /= 1.0 if plan.whole_rows else self.rates.float64_share
            loads.append(_Load(layer, plan.n_tasks, plan.task_nbytes, plan.read_nbytes, flop))
        return self._handed_out("distances", loads)

    def reconstruct(self, n_images: int) -> Iterator[StagePlan]:
        """Units gathered once a layer; a training and an encoding of all images for every layer and seed."""
        s, rates, n_seeds = self.study.reconstruction.options, self.rates, len(self.study.reconstruction.seeds)
        k, units, batch = s.n_codewords, s.n_units, s.batch_size
        steps = s.n_batches * rates.train_steps
        # ||Phi||^2 is at most the number of unit codewords: fewer than the bound never need a shorter step.
        if s.step == "stable" and k > largest_stable_norm(PAPER.step):
            steps += min(s.n_batches, rates.shortened_batches) * (rates.shortened_steps - rates.train_steps)
        training = steps * 2.0 * batch * k * k + s.n_batches * (8.0 * batch * units * k + 2.0 * units * k * k)
        encoding = rates.test_steps * 2.0 * n_images * k * k + 4.0 * n_images * units * k
        flop = (training + encoding) * n_seeds / (1.0 if s.precision == "float32" else rates.float64_share)
        memory = self._fit_nbytes(n_images)
        layers = self.study.layers
        gathers = [_Load(layer, *self._gathering(layer, n_images), 0.0) for layer in layers]
        fits = [_Load(layer, n_seeds, memory, 0.0, flop) for layer in layers]
        # All units are gathered before most of the trainings begin: one after the other, near enough.
        both = (self._handed_out("reconstruct", loads) for loads in (gathers, fits))
        for first, then in zip(*both, strict=True):
            yield replace(
                then,
                n_tasks=first.n_tasks + then.n_tasks,
                task_nbytes=max(first.task_nbytes, then.task_nbytes),
                moved_nbytes=first.moved_nbytes,
                seconds=first.seconds + then.seconds,
            )

    def _gathering(self, layer: str, n_images: int) -> tuple[int, int, float]:
        """Tasks that gather units, bytes that one holds, bytes that all read."""
        features = n_features(layer)
        chunk = activation_chunks(n_images, features)["image"]
        rows = gather_rows(n_images, chunk, features)
        seeds = len(self.study.reconstruction.seeds)
        held = 8 * chunk * features + 4 * rows * min(seeds * self.study.reconstruction.n_units, features)
        return math.ceil(n_images / rows), INTERPRETER_NBYTES + held, 4.0 * features * n_images

    def _fit_nbytes(self, n_images: int) -> int:
        options = self.study.reconstruction.options
        growing = n_images * (4 * options.n_units + 2 * 8 * options.n_codewords)
        # Beyond its share of the worker, the stage keeps what grows with the images on disk.
        fits = options.task_nbytes + growing <= MEMORY_SHARE * self.resources.memory_nbytes
        return INTERPRETER_NBYTES + options.task_nbytes + (growing if fits else 0)

    def _handed_out(self, stage: StageName, loads: list[_Load], start_s: float = 0.0) -> Iterator[StagePlan]:
        """Seconds of a stage: its tasks to the workers in order, shared over the layers by their work."""
        rates, workers = self.rates, self.resources
        speed = workers.cores * workers.gflops_per_core * 1e9 * rates.efficiency[stage]
        work = [
            load.flop / speed + load.moved_nbytes / rates.store_bytes_per_s + load.n_tasks * rates.task_s
            for load in loads
        ]
        seconds = makespan(
            [(load.n_tasks, w / load.n_tasks) for load, w in zip(loads, work, strict=True)], workers.n_workers
        )
        seconds += start_s
        for load, share in zip(loads, work, strict=True):
            yield StagePlan(
                stage, load.layer, load.n_tasks, load.task_nbytes, load.moved_nbytes, load.flop,
                seconds * share / sum(work),
            )  # fmt: skip


def makespan(tasks: Sequence[tuple[int, float]], n_workers: int) -> float:
    """Seconds until all tasks are done, each handed in order to the first free worker.

    Parameters
    ----------
    tasks
        Number and seconds of tasks that are alike.
    n_workers
        Workers; each does one at a time.

    Examples
    --------
    >>> makespan([(3, 1.0)], n_workers=2)
    2.0
    """
    free = [0.0] * min(n_workers, max(sum(n for n, _ in tasks), 1))
    for count, seconds in tasks:
        for _ in range(count):
            heapq.heapreplace(free, free[0] + seconds)
    return max(free)
