"""Settings of the distances, and what their tasks are told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from distspc.kernels.distance.products import Metric
from distspc.store.scaling import Scaling
from distspc.store.store import Store

Protocol = Literal["paper", "spc-public", "distinct"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True)
class TileLimits:
    """How large tiles and what is done at once get at most; the defaults are the fastest of those measured.

    Attributes
    ----------
    images_per_task
        Images of one task.
    tile_rows, feature_tile_rows
        Images that are in memory at once, where rows are whole and where they are cut.
    feature_tiles
        Whether features are cut, where a layer has more than a chunk of them; None: where that ends sooner.
    fixed_nbytes
        Bytes for what does not grow: decoded chunks on their way, estimates of a few rows, small tables.
    pairs_at_once
        Pairs of a thread that are taken in at once: where many are duplicates, each takes 100 bytes and more.
    """

    images_per_task: int = 16_384
    tile_rows: int = 2_048
    feature_tile_rows: int = 1_024
    feature_tiles: bool | None = None
    fixed_nbytes: int = 224 * 2**20
    pairs_at_once: int = 2**19


@dataclass(frozen=True)
class DistanceOptions:
    """What makes the distances of a layer; its fields are the stored recipe.

    Attributes
    ----------
    protocol
        Which images are in the pool, and whether exact duplicates count.
    metric, n_neighbours
        What counts as near, and how many.
    category
        Column of the image table that pairs must share, or None.
    scaling
        How features are scaled before.
    """

    protocol: Protocol = "paper"
    metric: Metric = "euclidean"
    n_neighbours: int = 1
    category: str | None = None
    scaling: Scaling = "none"

    @property
    def drop_zero(self) -> bool:
        """Whether exact duplicates do not count."""
        return self.protocol != "paper"


@dataclass(frozen=True, kw_only=True)
class LayerOptions(DistanceOptions):
    """What the tasks of a layer are told beside their ranges: where it is, too, and how they go about it.

    Attributes
    ----------
    store, layer
        Where the activations are.
    n_threads
        Threads of the matrix products and of the work around them; None: those BLAS is set to.
    limits
        How much is done at once; the results do not depend on it.
    """

    store: Store
    layer: str
    n_threads: int | None = None
    limits: TileLimits = TileLimits()

    @property
    def recipe(self) -> dict[str, Any]:
        """What is kept with the results: the settings that make them what they are."""
        recipe = {field.name: getattr(self, field.name) for field in fields(DistanceOptions)}
        return recipe | {"n_neighbours": int(self.n_neighbours)}
