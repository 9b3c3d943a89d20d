"""Which blocks and feature tiles the Gram matrix of a layer's targets is cut into: plain data, and what it takes.

With T targets in blocks of t and K features in tiles of f, a task multiplies the rows of one block with those of
another (or with themselves, in half the work) over f features, in float64: about 4 f t bytes of rows, and
8 t^2 (3 + log2(K / f)) of products that wait to be added up. Every block is read with each other: 4 K T^2 / t bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

from distspc.distances.options import TileLimits
from distspc.distances.planning.cost import Speeds, nominal_speeds
from distspc.distances.planning.cuts import LONGEST_S, feature_counts, memory_of
from distspc.distances.planning.plan import DEFAULT_LIMITS, N_BUFFERS, LayerSize, Range
from distspc.errors import InputError
from distspc.kernels.distance.bounds import PANEL_NBYTES
from distspc.messages import format_nbytes
from distspc.schedule import Step, Workers, makespan, work
from distspc.tasks import ranges

CHUNK_ROWS = 1_024
"""Targets along either side of a chunk of the matrix."""
FLOAT64_COST = 2.0
"""How much longer products in float64 take than in float32."""
_ALIKE = 1.02
_THREADS = 8


@dataclass(frozen=True)
class GramPlan:
    """How the Gram matrix of one layer is cut into tasks.

    Attributes
    ----------
    size
        Size of the layer; its pool are the targets.
    n_targets, n_features
        Most of each in a task; targets in whole chunks of the matrix.
    limits
        What it was made with.
    chunk_rows
        Targets along either side of a chunk of the matrix.
    """

    size: LayerSize
    n_targets: int
    n_features: int
    limits: TileLimits = DEFAULT_LIMITS
    chunk_rows: int = CHUNK_ROWS

    @cached_property
    def blocks(self) -> tuple[tuple[Range, Range], ...]:
        """Ranges of targets that are multiplied: each with itself and with those after it."""
        return tuple(combinations_with_replacement(ranges(self.size.n_targets, self.n_targets), 2))

    @property
    def features(self) -> tuple[Range, ...]:
        """Ranges of features."""
        return ranges(self.size.n_features, self.n_features)

    @property
    def tile_rows(self) -> int:
        """Images of the other block that are in memory at once."""
        return self.size.whole_chunks(min(self.limits.feature_tile_rows, self.n_targets))

    @property
    def n_tasks(self) -> int:
        """Tasks that read activations."""
        return len(self.blocks) * len(self.features)

    @property
    def task_nbytes(self) -> int:
        """Bytes that a task holds at most."""
        buffers = N_BUFFERS * self.tile_rows if self.n_targets < self.size.n_targets else 0
        n_levels = (len(self.features) - 1).bit_length()
        rows = 4 * self.n_features * (self.n_targets + buffers)
        panels = PANEL_NBYTES * (self.n_targets + _THREADS * self.tile_rows)
        return rows + panels + 8 * (n_levels + 3) * self.n_targets**2 + self.limits.fixed_nbytes

    @property
    def read_nbytes(self) -> int:
        """Bytes of float32 activations that all tasks read together."""
        rows = sum(a[1] - a[0] + (b[1] - b[0] if a != b else 0) for a, b in self.blocks)
        return 4 * self.size.n_features * rows

    @property
    def flop(self) -> float:
        """Operations of all products: of a symmetric matrix, one half."""
        return float(self.size.n_targets) ** 2 * self.size.n_features


def steps(plan: GramPlan, speeds: Speeds) -> tuple[Step, ...]:
    """Tasks of a plan, step by step: products of feature tiles, their sums, blocks written."""
    n_blocks, n_features = len(plan.blocks), len(plan.features)
    nbytes = 8 * plan.n_targets**2
    return (
        Step(plan.n_tasks, _tile_seconds(plan, speeds)),
        Step(n_blocks * (n_features - 1), speeds.task_s + nbytes / speeds.partial_nbytes),
        Step(n_blocks, speeds.task_s + 2 * nbytes / speeds.store_nbytes),
    )


def _tile_seconds(plan: GramPlan, speeds: Speeds) -> float:
    reading = 4 * plan.n_features * plan.n_targets / speeds.store_nbytes
    products = FLOAT64_COST * plan.n_features * plan.n_targets**2 / speeds.products
    if len(plan.blocks) == 1:
        return speeds.task_s + reading + products
    return speeds.task_s + reading + max(2 * products, reading)


def plan_grams(
    sizes: Iterable[LayerSize], workers: Workers, limits: TileLimits = DEFAULT_LIMITS
) -> dict[str, GramPlan]:
    """Cut the Gram matrices of some layers into tasks that fit, for workers that are shared by all of them.

    Parameters
    ----------
    sizes
        Sizes of the layers; their pool are the targets.
    workers
        The workers; 4 GiB a task where their memory is not known.
    limits
        How large tiles get at most.

    Returns
    -------
    dict
        A plan for every layer, by name.

    Raises
    ------
    InputError
        If the smallest task of a layer does not fit; names what it needs, and the way out.

    Examples
    --------
    >>> block1 = LayerSize("block1_pool", 2222, (0, 2222), 802816, 64, 25088)
    >>> fc2 = LayerSize("fc2", 2222, (0, 2222), 4096, 64, 4096)
    >>> plans = plan_grams([block1, fc2], Workers(8, 4, 9 * 2**30))
    >>> {name: plan.n_tasks for name, plan in plans.items()}
    {'block1_pool': 8, 'fc2': 1}
    """
    speeds = nominal_speeds(workers.n_threads)
    fitting = {size.layer: _fitting(size, workers, limits) for size in sizes}
    least = {layer: work([steps(plans[0], speeds)]) for layer, plans in fitting.items()}
    shares = {layer: max(1, round(workers.n * seconds / sum(least.values()))) for layer, seconds in least.items()}
    return {layer: _soonest(plans, shares[layer], speeds) for layer, plans in fitting.items()}


def _fitting(size: LayerSize, workers: Workers, limits: TileLimits) -> list[GramPlan]:
    """Plans whose tasks fit, those with the fewest tasks first."""
    plans, memory = list(_plans(size, limits)), memory_of(workers)
    fitting = [plan for plan in plans if plan.task_nbytes <= memory]
    if not fitting:
        needed = min(plan.task_nbytes for plan in plans)
        raise InputError(
            f"{size.layer}: the smallest task of its Gram matrix needs {format_nbytes(needed)} of memory and may use "
            f"{format_nbytes(memory)}; give the workers more memory, or leave out `readout` under `relate`"
        )
    return sorted(fitting, key=lambda plan: plan.n_tasks)


def _plans(size: LayerSize, limits: TileLimits) -> Iterator[GramPlan]:
    """Every plan: blocks of equal numbers of chunks, any number of chunks of features."""
    n_chunks = -(-size.n_targets // CHUNK_ROWS)
    heights = dict.fromkeys(min(-(-n_chunks // parts) * CHUNK_ROWS, size.n_targets) for parts in range(1, n_chunks + 1))
    for n_targets in heights:
        for n_features in feature_counts(size, limits):
            yield GramPlan(size, n_targets, n_features, limits)


def _soonest(plans: list[GramPlan], n_workers: int, speeds: Speeds) -> GramPlan:
    """The plan that ends soonest, of those whose tasks are not too long; of plans alike the one with fewest tasks."""
    short = [plan for plan in plans if max(step.seconds for step in steps(plan, speeds)) <= LONGEST_S] or plans[-1:]
    seconds = [makespan([steps(plan, speeds)], n_workers) for plan in short]
    return next(plan for plan, own in zip(short, seconds, strict=True) if own <= _ALIKE * min(seconds))
