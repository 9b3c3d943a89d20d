"""What the work of a stage is, and how long it takes: tasks handed out to the workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from distspc.distances.planning.cost import EFFICIENCY
from distspc.schedule import Step, makespan, work
from distspc.study.file import StageName

INTERPRETER_NBYTES = 115 * 2**20
"""Memory of a worker with what all stages import, but for the packages of networks."""


@dataclass(frozen=True)
class Rates:
    """What the model takes from measurements; the defaults are those of `benchmarks/README.md`, of one machine.

    Attributes
    ----------
    efficiency
        Share of the float32 matrix product's speed that a stage reaches.
    float64_share
        Speed of float64 products over that of float32, in the reconstruction.
    train_steps, test_steps
        Inner steps of a batch (mean over the training, without shortened ones) and of the final encoding; they depend
        on the data: 18 to 48 and 14 to 46 in the pooling layers of a trained VGG-16, of which these are the means.
    shortened_batches, shortened_steps
        Batches of a training whose step is shortened (``step: stable``), and the inner steps of one of these: next to
        none with trained weights.
    store_bytes_per_s
        Bytes that a worker reads or writes per second, decoding included; distances read while they multiply.
    task_s
        Seconds of a task beside its work: handed out, the store opened.
    start_s
        Seconds until a worker has imported what the network needs and built it.
    start_onnx_s
        The same in ONNX Runtime.
    """

    efficiency: Mapping[StageName, float] = field(
        default_factory=lambda: {
            "extract": 0.90,
            "distances": EFFICIENCY,
            "reconstruct": 0.60,
            "measures": 0.10,
            "readout": EFFICIENCY,
        }
    )
    float64_share: float = 0.5
    train_steps: float = 35.0
    test_steps: float = 28.0
    shortened_batches: float = 1.0
    shortened_steps: float = 50.0
    store_bytes_per_s: float = 400e6
    task_s: float = 0.02
    start_s: float = 10.0
    start_onnx_s: float = 3.6


@dataclass(frozen=True)
class Resources:
    """What a stage runs on.

    Attributes
    ----------
    n_workers, cores, memory_nbytes
        Workers, cores and bytes of memory of each.
    gflops_per_core
        GFLOP/s of one core's float32 product.
    profile
        Name of the profile they come of.
    gpu
        Whether each worker has a GPU.
    """

    n_workers: int
    cores: int
    memory_nbytes: int
    gflops_per_core: float
    profile: str = ""
    gpu: bool = False


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
class PlannedIterations:
    """Iterations a batch that a training is planned with, and whose they are.

    Attributes
    ----------
    mean
        Over all batches.
    source
        ``layer``: finished seeds of the layer; ``store``: finished layers, their mean; ``default``: those of `Rates`.
    """

    mean: float
    source: Literal["layer", "store", "default"]


@dataclass(frozen=True)
class Load:
    """Tasks of one layer that are alike and need nothing of one another.

    Attributes
    ----------
    layer
        Its name; "" where all layers are one.
    n_tasks
        How many.
    task_nbytes
        Bytes that one holds.
    moved_nbytes, flop
        Bytes moved and operations of all.
    seconds
        Of one, on one worker.
    aside
        Whether they only put together what others have made: they take their time, and do not count as tasks.
    """

    layer: str
    n_tasks: int
    task_nbytes: int
    moved_nbytes: float
    flop: float
    seconds: float
    aside: bool = False


@dataclass(frozen=True)
class Setting:
    """What the work of a stage depends on beside the study: images, workers, measured rates."""

    n_targets: int
    n_fillers: int
    resources: Resources
    rates: Rates
    n_known: int = 0
    """Images whose activations need not be computed."""
    iterations: Mapping[str, float] = field(default_factory=dict)
    """Iterations a batch by layer, as the finished seeds of the study took them."""
    worker_nbytes: int = INTERPRETER_NBYTES
    """Memory of a worker before a task: its imports, and what networks that it has run have left."""

    @property
    def n_images(self) -> int:
        """Images of both roles."""
        return self.n_targets + self.n_fillers

    def speed(self, stage: StageName) -> float:
        """Operations a second of one worker, as the stage makes them."""
        return self.resources.cores * self.resources.gflops_per_core * 1e9 * self.rates.efficiency[stage]

    def load(
        self, stage: StageName, layer: str, n_tasks: int, task_nbytes: int, moved_nbytes: float, flop: float
    ) -> Load:
        """Tasks that take what their operations (float64 ones count for more) and bytes take, one after the other."""
        seconds = (flop / self.speed(stage) + moved_nbytes / self.rates.store_bytes_per_s) / max(n_tasks, 1)
        return Load(layer, n_tasks, task_nbytes, moved_nbytes, flop, seconds + self.rates.task_s)


@dataclass(frozen=True)
class Loads:
    """The work of a stage: for every layer (or for all in one), loads of which each waits for the one before."""

    chains: tuple[Sequence[Load], ...]
    start_s: float = 0.0

    @property
    def steps(self) -> list[list[Step]]:
        """Tasks and seconds alone."""
        return [[Step(load.n_tasks, load.seconds) for load in chain] for chain in self.chains]


def hand_out(stage: StageName, loads: Loads, n_workers: int) -> Iterator[StagePlan]:
    """Seconds of a stage, layer by layer: those until its last task is done, shared over the layers by their work."""
    seconds, total = makespan(loads.steps, n_workers) + loads.start_s, work(loads.steps)
    for chain, steps in zip(loads.chains, loads.steps, strict=True):
        yield StagePlan(
            stage,
            chain[0].layer,
            sum(load.n_tasks for load in chain if not load.aside),
            max(load.task_nbytes for load in chain),
            sum(load.moved_nbytes for load in chain),
            sum(load.flop for load in chain),
            seconds * work([steps]) / total,
        )
