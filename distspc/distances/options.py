"""Settings of the distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from distspc.store.store import Store

Protocol = Literal["paper", "spc-public", "distinct"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)


@dataclass(frozen=True)
class TileLimits:
    """How large tiles and what is done at once get at most; the defaults are the fastest of those measured.

    Attributes
    ----------
    images_per_task
        Images of one task.
    tile_rows, feature_tile_rows
        Images that are in memory at once, where rows are whole and where they are cut.
    max_reread_share
        Share of a layer's bytes that may be read again to hold whole rows.
    fixed_nbytes
        Bytes for what does not grow: decoded chunks on their way, estimates of a few rows, small tables.
    pairs_at_once
        Pairs of a thread that are taken in at once: where many are duplicates, each takes 100 bytes and more.
    """

    images_per_task: int = 16_384
    tile_rows: int = 2_048
    feature_tile_rows: int = 1_024
    max_reread_share: float = 0.25
    fixed_nbytes: int = 224 * 2**20
    pairs_at_once: int = 2**19


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
    limits
        How much is done at once; the results do not depend on it.
    """

    store: Store
    layer: str
    metric: str
    n_neighbours: int
    drop_zero: bool
    category: str | None
    n_threads: int | None
    limits: TileLimits = TileLimits()
