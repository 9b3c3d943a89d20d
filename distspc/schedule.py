"""Workers, what their tasks take, and how long many tasks take on them: the longest way to the end goes first."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Workers:
    """What tasks are shared among.

    Attributes
    ----------
    n
        Tasks that can run at the same time.
    n_threads
        Threads of a task.
    task_memory_nbytes
        Bytes that a task may hold; None where unknown.
    """

    n: int = 1
    n_threads: int = 1
    task_memory_nbytes: int | None = None


@dataclass(frozen=True)
class Step:
    """Tasks that are alike and need nothing of one another: how many, and the seconds of each."""

    n_tasks: int
    seconds: float


Chain = Sequence[Step]
"""Steps one after the other, such as a layer's: the tasks of each begin when all of the one before are done."""


def work(chains: Sequence[Chain]) -> float:
    """Seconds of all tasks together."""
    return sum(step.n_tasks * step.seconds for chain in chains for step in chain)


def longest_chain(chains: Sequence[Chain]) -> float:
    """Seconds from start to end where there are workers enough."""
    return max((sum(step.seconds for step in chain) for chain in chains), default=0.0)


def makespan(chains: Sequence[Chain], n_workers: int) -> float:
    """Seconds until all tasks are done, each handed to the first free worker, longest way to the end first.

    Parameters
    ----------
    chains
        What is to be done; chains wait for nothing but workers.
    n_workers
        Workers; each does one task at a time.

    Examples
    --------
    >>> makespan([[Step(3, 1.0)]], n_workers=2)
    2.0
    >>> makespan([[Step(1, 1.0), Step(1, 3.0)], [Step(4, 1.0)]], n_workers=2)
    4.0
    """
    steps = [[step for step in chain if step.n_tasks] for chain in chains]
    rest = [_rest(chain) for chain in steps]
    ready = [(-rest[c][0], c, 0) for c, chain in enumerate(steps) if chain]
    heapq.heapify(ready)
    waiting = {(c, s): step.n_tasks for c, chain in enumerate(steps) for s, step in enumerate(chain)}
    running = dict(waiting)
    busy: list[tuple[float, int, int]] = []
    now = 0.0
    while ready or busy:
        while ready and len(busy) < n_workers:
            _, c, s = ready[0]
            heapq.heappush(busy, (now + steps[c][s].seconds, c, s))
            waiting[c, s] -= 1
            if waiting[c, s] == 0:
                heapq.heappop(ready)
        now, c, s = heapq.heappop(busy)
        running[c, s] -= 1
        if running[c, s] == 0 and s + 1 < len(steps[c]):
            heapq.heappush(ready, (-rest[c][s + 1], c, s + 1))
    return now


def _rest(chain: Chain) -> list[float]:
    """Seconds from the start of each step to the end of the chain, where there are workers enough."""
    return list(accumulate(step.seconds for step in reversed(chain)))[::-1]
