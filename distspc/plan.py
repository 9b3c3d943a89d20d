"""What a study will cost before it is run: tasks, memory, bytes and time of every stage, from sizes alone.

The time of a stage is its floating-point operations over what the workers' cores do of a float32 matrix product,
times the share of it that the stage has been measured to reach (`EFFICIENCY`), plus the bytes it moves. It is an
estimate for choosing a profile, not a promise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from distspc.distance_plan import Problem, plan_distances
from distspc.errors import InputError
from distspc.layers import LAYERS
from distspc.study import StageName, StudyFile
from distspc.tiles import FEATURES_PER_CHUNK, IMAGES_PER_CHUNK, gib

FORWARD_FLOP = {
    "block1_pool": 3.87e9,
    "block2_pool": 9.42e9,
    "block3_pool": 18.67e9,
    "block4_pool": 27.92e9,
    "block5_pool": 30.69e9,
    "fc1": 30.90e9,
    "fc2": 30.93e9,
}
"""Operations of VGG-16's forward pass for one image, up to a layer: two for every multiplication with its addition."""

EFFICIENCY = {"extract": 0.55, "distances": 0.75, "reconstruct": 0.40}
"""Share of the float32 matrix product's speed that a stage reaches (from `benchmarks/README.md`, one machine)."""
FLOAT64_SHARE = 0.5
"""Speed of float64 products over that of float32."""

TRAIN_STEPS, TEST_STEPS = 25, 25
"""Inner steps of a batch and of the final encoding on VGG-16's activations; they depend on the data."""
STORE_BYTES_PER_S = 400e6
"""Bytes a worker reads or writes per second, decoding included."""

MODEL_NBYTES = 600 * 2**20
FORWARD_NBYTES_PER_IMAGE = 30 * 2**20
"""Memory of VGG-16's weights, and of one image on its way through the network."""


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


def measure_gflops(n: int = 1024, *, repeats: int = 3) -> float:
    """GFLOP/s of a float32 matrix product on one core of this machine, now (about a tenth of a second)."""
    from threadpoolctl import threadpool_limits

    a = np.ones((n, n), dtype=np.float32)
    best = math.inf
    with threadpool_limits(1):
        for _ in range(repeats):
            start = time.perf_counter()
            a @ a
            best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best / 1e9


def n_features(layer: str) -> int:
    """Features of a layer.

    Raises
    ------
    InputError
        For a layer that is not one of the seven.
    """
    if layer not in LAYERS:
        raise InputError(f"the cost of layer {layer!r} is not known; a plan covers {', '.join(LAYERS)}")
    return LAYERS[layer].n_features


def store_nbytes(study: StudyFile, n_images: int) -> int:
    """Bytes of all activations before compression."""
    item = 2 if study.model.storage == "float16" else 4
    return sum(n_features(layer) * n_images * item for layer in study.layers)


def plan_study(study: StudyFile, *, n_targets: int, n_fillers: int, resources: Resources) -> tuple[StagePlan, ...]:
    """Plan every stage of a study.

    Parameters
    ----------
    study
        The study.
    n_targets, n_fillers
        Images of each role.
    resources
        What it runs on.

    Returns
    -------
    tuple of StagePlan

    Raises
    ------
    InputError
        If a task does not fit into a worker's memory: names stage, layer, bytes and the way out.
    """
    plans = (
        *_plan_extract(study, n_targets + n_fillers, resources),
        *_plan_distances(study, n_targets, n_fillers, resources),
        *_plan_reconstruct(study, n_targets + n_fillers, resources),
    )
    for plan in plans:
        if plan.task_nbytes > resources.memory_nbytes:
            raise InputError(
                f"{plan.stage} {plan.layer}: a task needs about {gib(plan.task_nbytes)} and a worker of this "
                f"profile has {gib(resources.memory_nbytes)}; give each worker more memory (fewer workers on this "
                "machine, or `memory` in the profile)"
            )
    return plans


def _seconds(stage: StageName, resources: Resources, *, flop: float, moved: float, n_tasks: int) -> float:
    # A stage of fewer tasks than workers leaves some idle.
    busy = max(min(resources.n_workers, n_tasks), 1)
    rate = busy * resources.cores * resources.gflops_per_core * 1e9 * EFFICIENCY[stage]
    return flop / rate + moved / (busy * STORE_BYTES_PER_S)


def _plan_extract(study: StudyFile, n_images: int, resources: Resources) -> Iterator[StagePlan]:
    n_tasks = math.ceil(n_images / IMAGES_PER_CHUNK)
    moved = store_nbytes(study, n_images)
    buffers = 2 * moved / max(n_images, 1) * IMAGES_PER_CHUNK
    if study.activations is not None:
        yield StagePlan(
            "extract",
            "",
            n_tasks * len(study.layers),
            int(buffers),
            2 * moved,
            0.0,
            _seconds("extract", resources, flop=0.0, moved=2 * moved, n_tasks=n_tasks),
        )
        return
    flop = n_images * max(FORWARD_FLOP[layer] for layer in study.layers)
    memory = MODEL_NBYTES + study.model.batch_size * FORWARD_NBYTES_PER_IMAGE + buffers
    seconds = _seconds("extract", resources, flop=flop, moved=moved, n_tasks=n_tasks)
    yield StagePlan("extract", "", n_tasks, int(memory), moved, flop, seconds)


def _plan_distances(study: StudyFile, n_targets: int, n_fillers: int, resources: Resources) -> Iterator[StagePlan]:
    n_images = n_targets + n_fillers
    pool = (n_targets, n_images) if study.distinctiveness.protocol == "spc-public" else (0, n_images)
    for layer in study.layers:
        features = n_features(layer)
        problem = Problem(
            layer, n_targets, pool, features, min(IMAGES_PER_CHUNK, n_images), min(FEATURES_PER_CHUNK, features)
        )
        plan = plan_distances(problem, memory_nbytes=int(0.6 * resources.memory_nbytes), n_workers=resources.n_workers)
        flop = 2.0 * n_targets * (pool[1] - pool[0]) * features / (1.0 if plan.whole_rows else FLOAT64_SHARE)
        seconds = _seconds("distances", resources, flop=flop, moved=plan.read_nbytes, n_tasks=plan.n_tasks)
        yield StagePlan("distances", layer, plan.n_tasks, plan.task_nbytes, plan.read_nbytes, flop, seconds)


def _plan_reconstruct(study: StudyFile, n_images: int, resources: Resources) -> Iterator[StagePlan]:
    settings = study.reconstruction
    k, units, batch = settings.codewords, settings.units, settings.batch_size
    n_seeds = len(settings.seeds)
    training = settings.batches * (TRAIN_STEPS * 2.0 * batch * k * k + 8.0 * batch * units * k + 2.0 * units * k * k)
    encoding = TEST_STEPS * 2.0 * n_images * k * k + 4.0 * n_images * units * k
    flop = (training + encoding) * n_seeds / (1.0 if settings.precision == "float32" else FLOAT64_SHARE)
    memory = n_images * units * 12 + 8 * (4 * n_images * k + 4 * batch * k + 2 * units * k)
    for layer in study.layers:
        moved = 4.0 * n_features(layer) * n_images
        seconds = _seconds("reconstruct", resources, flop=flop, moved=moved, n_tasks=n_seeds * len(study.layers))
        yield StagePlan("reconstruct", layer, n_seeds, int(memory), moved, flop, seconds)
