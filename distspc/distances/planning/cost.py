"""What the tasks of a plan take: products, bytes read, bytes between workers, and what every task costs anyway.

A task reads its targets, then multiplies them with its images while these are read: the seconds of the targets, and
the longer of the two others. Of feature tiles, each task that adds two up fetches one from another worker; then rows
are read again to settle what may be nearest. See `distspc.distances.planning.plan` for the numbers of tasks and bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from distspc.distances.planning.plan import DistancePlan, n_halved
from distspc.schedule import Step


@dataclass(frozen=True)
class Speeds:
    """What a worker does in a second.

    Attributes
    ----------
    products
        Floating-point operations of float32 products, all threads of a task together.
    store_nbytes
        Bytes read from the store, decoding included.
    partial_nbytes
        Bytes of partial products fetched from another worker and added.
    pairs
        Pairs looked at for candidates, by one thread.
    task_s
        Seconds of a task beside its work.
    """

    products: float
    store_nbytes: float = 400e6
    partial_nbytes: float = 600e6
    pairs: float = 50e6
    task_s: float = 0.02


EFFICIENCY = 0.62
"""Share of the float32 product's speed that tasks reach: 0.69 of all products of the classic study, a ninth of which
are not made (targets with each other, see `benchmarks/README.md`)."""
NOMINAL_FLOPS = 50e9
"""Of a core, where plans are chosen: a run and `distspc plan` cut alike, however busy the machine is."""


def nominal_speeds(n_threads: int) -> Speeds:
    """Speeds by which plans are chosen."""
    return Speeds(EFFICIENCY * NOMINAL_FLOPS * n_threads)


def steps(plan: DistancePlan, speeds: Speeds) -> tuple[Step, ...]:
    """Tasks of a plan, step by step: tiles, sums of feature tiles, their candidates, neighbours settled, results."""
    size, start = plan.size, speeds.task_s
    n_targets, n_images, n_features, n_settled = plan.counts
    tiles = Step(n_targets * n_images * n_features, tile_seconds(plan, speeds))
    finish = Step(1, start)
    if plan.whole_rows:
        return (tiles, Step(n_settled, start), finish)
    widest = min(plan.n_images + n_halved(size, plan), size.n_pool)
    pairs = plan.n_targets * widest
    return (
        tiles,
        Step(n_targets * n_images * (n_features - 1), start + 8 * pairs / speeds.partial_nbytes),
        Step(n_targets * n_images, start + pairs / speeds.pairs),
        Step(n_settled, start + _settling(plan) / speeds.store_nbytes),
        finish,
    )


def tile_seconds(plan: DistancePlan, speeds: Speeds) -> float:
    """Seconds of one task that multiplies."""
    n_images = min(plan.n_images, plan.size.n_pool)
    reading = 4 * plan.n_features / speeds.store_nbytes
    products = 2 * plan.n_targets * n_images * plan.n_features / speeds.products
    return speeds.task_s + reading * plan.n_targets + max(products, reading * n_images)


def settled_at_once(plan: DistancePlan, speeds: Speeds, seconds: float) -> int:
    """Targets whose neighbours are settled in some seconds."""
    if plan.whole_rows:
        return plan.n_targets
    per_target = 4 * plan.size.n_features * (1 + plan.size.n_neighbours) / speeds.store_nbytes
    return max(1, min(plan.n_targets, int(seconds / per_target)))


def _settling(plan: DistancePlan) -> int:
    return 4 * plan.size.n_features * plan.rows_settled((0, min(plan.n_settled, plan.n_targets)))
