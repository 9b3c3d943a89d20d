"""Settings of the distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from distspc.store.store import Store

Protocol = Literal["paper", "spc-public", "distinct"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)


@dataclass(frozen=True)
class DistanceOptions:
    """What a distance task is told beside its ranges.

    Attributes
    ----------
    store, layer
        Where the activations are.
    metric, n_neighbours, drop_zero
        What counts as near: distance, how many, whether exact duplicates do not count.
    category
        Column of the image table that pairs must share, or None.
    n_threads
        Threads of the matrix products and of the work around them; None: those BLAS is set to.
    """

    store: Store
    layer: str
    metric: str
    n_neighbours: int
    drop_zero: bool
    category: str | None
    n_threads: int | None
