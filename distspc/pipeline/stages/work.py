"""What the work of a stage is, and how long it takes: tasks handed out in order to the workers."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from distspc.study.file import StageName

INTERPRETER_NBYTES = 250 * 2**20
"""Memory of a worker with its imports."""


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


@dataclass(frozen=True)
class Load:
    """Work of one layer before it is handed out: operations (float64 ones count for more), bytes, tasks."""

    layer: str
    n_tasks: int
    task_nbytes: int
    moved_nbytes: float
    flop: float


@dataclass(frozen=True)
class Setting:
    """What the work of a stage depends on beside the study: images, workers, measured rates."""

    n_targets: int
    n_fillers: int
    resources: Resources
    rates: Rates

    @property
    def n_images(self) -> int:
        """Images of both roles."""
        return self.n_targets + self.n_fillers


@dataclass(frozen=True)
class Loads:
    """The work of a stage: batches of loads of the same layers, one batch after the other."""

    batches: tuple[Sequence[Load], ...]
    start_s: float = 0.0


def hand_out(stage: StageName, loads: Loads, setting: Setting) -> Iterator[StagePlan]:
    """Seconds of a stage, layer by layer: its tasks to the workers in order, shared over the layers by their work."""
    plans = [list(_hand_out_batch(stage, batch, loads.start_s, setting)) for batch in loads.batches]
    for parts in zip(*plans, strict=True):
        yield StagePlan(
            stage,
            parts[0].layer,
            sum(part.n_tasks for part in parts),
            max(part.task_nbytes for part in parts),
            sum(part.moved_nbytes for part in parts),
            sum(part.flop for part in parts),
            sum(part.seconds for part in parts),
        )


def _hand_out_batch(stage: StageName, loads: Sequence[Load], start_s: float, setting: Setting) -> Iterator[StagePlan]:
    rates, workers = setting.rates, setting.resources
    speed = workers.cores * workers.gflops_per_core * 1e9 * rates.efficiency[stage]
    work = [
        load.flop / speed + load.moved_nbytes / rates.store_bytes_per_s + load.n_tasks * rates.task_s for load in loads
    ]
    tasks = [(load.n_tasks, w / load.n_tasks) for load, w in zip(loads, work, strict=True)]
    seconds = makespan(tasks, workers.n_workers) + start_s
    for load, share in zip(loads, work, strict=True):
        yield StagePlan(
            stage, load.layer, load.n_tasks, load.task_nbytes, load.moved_nbytes, load.flop, seconds * share / sum(work)
        )


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
