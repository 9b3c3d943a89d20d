"""Plans for the workers there are: of all ways to cut all layers, those with which the last task ends soonest.

Workers are shared, so that layers are cut together: tasks of at most so many seconds, at least one for each worker, of
every layer the cut with the least work in all whose tasks are no longer (`planning.cost`), and of all such
lengths the one whose tasks, handed out longest way to the end first, are done soonest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from distspc.distances.options import TileLimits
from distspc.distances.planning.cost import Speeds, nominal_speeds, settled_at_once, steps
from distspc.distances.planning.plan import (
    DEFAULT_LIMITS,
    DEFAULT_NBYTES,
    DistancePlan,
    LayerSize,
    n_halved,
    smallest_plan,
    task_nbytes,
)
from distspc.errors import InputError
from distspc.messages import format_nbytes
from distspc.schedule import Workers, makespan, work

SHORTEST_S, LONGEST_S = 5.0, 60.0
"""Seconds of a task: shorter ones are not worth cutting for, of longer ones too much is lost with a worker."""
SETTLED_S = 2.5
"""Seconds of a task that settles neighbours: many can only begin once nothing else of a layer is left."""
_GROWTH = 4 / 3
_ALIKE = 1.02
"""Plans that take no more than this beside the best are as good: the one with the fewest tasks is taken."""


def plan_layers(
    sizes: Iterable[LayerSize], workers: Workers, limits: TileLimits = DEFAULT_LIMITS
) -> dict[str, DistancePlan]:
    """Cut the distances of some layers into tasks that fit, for workers that are shared by all of them.

    Parameters
    ----------
    sizes
        Sizes of the layers.
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
        If the smallest task of a layer does not fit; names what it needs, and the setting to change.

    Examples
    --------
    >>> fc2 = LayerSize("fc2", 2222, (0, 10264), 4096, 64, 4096)
    >>> block1 = LayerSize("block1_pool", 2222, (0, 10264), 802816, 64, 25088)
    >>> for n in (1, 64):
    ...     plans = plan_layers([fc2, block1], Workers(n, 4, 9 * 2**30))
    ...     print(n, {name: plan.n_tasks for name, plan in plans.items()})
    1 {'fc2': 1, 'block1_pool': 23}
    64 {'fc2': 1, 'block1_pool': 79}
    """
    sizes = tuple(sizes)
    for size in sizes:
        require_memory(size, workers, limits)
    return dict(zip((size.layer for size in sizes), _soonest(sizes, workers, limits), strict=True))


@lru_cache(maxsize=64)
def _soonest(sizes: tuple[LayerSize, ...], workers: Workers, limits: TileLimits) -> tuple[DistancePlan, ...]:
    """The plans of all layers with which the last task ends soonest."""
    speeds = nominal_speeds(workers.n_threads)
    ways = [_worthwhile(size, workers, limits, speeds) for size in sizes]
    least = sum(min(seconds for _, seconds, _ in some) for some in ways)
    longest = min(LONGEST_S, max(SHORTEST_S, least / workers.n))
    best: float = float("inf")
    found: tuple[DistancePlan, ...] = ()
    for length in _lengths(longest):
        chosen = tuple(_no_longer(some, length) for some in ways)
        seconds = makespan([steps(plan, speeds) for plan in chosen], workers.n)
        if seconds * _ALIKE < best:
            best, found = seconds, chosen
    return found


def require_memory(size: LayerSize, workers: Workers, limits: TileLimits = DEFAULT_LIMITS) -> None:
    """Raise InputError if the smallest task of a layer does not fit, naming what it needs and the setting to change."""
    needed, memory = task_nbytes(smallest_plan(size, limits)), memory_of(workers)
    if needed > memory:
        raise InputError(
            f"{size.layer}: the smallest distance task needs {format_nbytes(needed)} of memory and may use "
            f"{format_nbytes(memory)}; give the workers more memory (`memory` in the profile of a queue, "
            "`memory-per-worker` in a local one) or fewer threads each, which share it"
        )


def memory_of(workers: Workers) -> int:
    """Bytes that a task may hold."""
    return DEFAULT_NBYTES if workers.task_memory_nbytes is None else workers.task_memory_nbytes


class _Way(NamedTuple):
    """A plan, the seconds of all its tasks together, and of the longest."""

    plan: DistancePlan
    work: float
    longest: float


def _lengths(longest: float) -> Iterator[float]:
    """Lengths of tasks to try, longest first."""
    while longest >= SHORTEST_S:
        yield longest
        longest /= 1.1


def _no_longer(ways: Sequence[_Way], seconds: float) -> DistancePlan:
    """The plan with the least work of those whose tasks take no longer; where all do, the one with the shortest."""
    short = [way for way in ways if way.longest <= seconds]
    return (short[-1] if short else ways[0]).plan


def _worthwhile(size: LayerSize, workers: Workers, limits: TileLimits, speeds: Speeds) -> list[_Way]:
    """Ways to cut a layer, those with the shortest tasks first, and the longer the tasks the less the work."""
    ways = []
    for plan in _plans(size, memory_of(workers), limits, speeds):
        chain = steps(plan, speeds)
        ways.append(_Way(plan, work([chain]), max(step.seconds for step in chain)))
    ways.sort(key=lambda way: (way.longest, way.work))
    least = [float("inf"), *accumulate((way.work for way in ways), min)]
    return [way for way, before in zip(ways, least, strict=False) if way.work < before]


def _plans(size: LayerSize, memory: int, limits: TileLimits, speeds: Speeds) -> Iterator[DistancePlan]:
    """Every plan whose tasks fit, with tiles as tall as fit."""
    for n_features in feature_counts(size, limits):
        tallest = limits.tile_rows if n_features >= size.n_features else limits.feature_tile_rows
        heights = _halvings(tallest, size.chunk_rows)
        for n_targets in _shares(size.n_targets, 1):
            whole = DistancePlan(size, n_targets, size.whole_chunks(size.n_pool), n_features, heights[0], 1, limits)
            for n_images in _image_counts(whole):
                fitting = (replace(whole, n_images=n_images, tile_rows=height) for height in heights)
                plan = next((plan for plan in fitting if task_nbytes(plan) <= memory), None)
                if plan is not None:
                    yield replace(plan, n_settled=settled_at_once(plan, speeds, SETTLED_S))


def feature_counts(size: LayerSize, limits: TileLimits) -> list[int]:
    """Features of a task: all of them, or whole chunks."""
    if size.chunks_of_features == 1 or limits.feature_tiles is False:
        return [size.n_features]
    doublings = [2**i for i in range(size.chunks_of_features.bit_length())]
    tiles = [n * size.chunk_features for n in doublings if n < size.chunks_of_features]
    return tiles if limits.feature_tiles else [size.n_features, *tiles]


def _image_counts(whole: DistancePlan) -> list[int]:
    """Images of a task: whole chunks, of the pool less what targets with each other save."""
    size = whole.size
    most = max(size.chunk_rows, size.whole_chunks(size.n_pool - n_halved(size, whole)))
    largest = max(size.chunk_rows, whole.limits.images_per_task // size.chunk_rows * size.chunk_rows)
    return list(dict.fromkeys(min(size.whole_chunks(n), largest) for n in _shares(most, size.chunk_rows)))


def _shares(n: int, least: int) -> list[int]:
    """All, and ever smaller equal parts, down to the smallest."""
    counts, parts = [], 1.0
    while n / parts > least:
        counts.append(-(-n // round(parts)))
        parts = max(parts + 1, parts * _GROWTH)
    return list(dict.fromkeys([*counts, least]))


def _halvings(largest: int, smallest: int) -> list[int]:
    heights = [max(largest, smallest)]
    while heights[-1] > smallest:
        heights.append(max(-(-heights[-1] // 2), smallest))
    # Multiples of the chunk, so that no chunk is read by two tiles.
    return [-(-n // smallest) * smallest for n in heights]
