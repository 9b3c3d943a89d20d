"""What a worker does for one tile of distances: read activations, multiply, sieve, compute close pairs again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from distspc import store as zarr_store
from distspc.distance_plan import Range, image_tiles
from distspc.errors import InputError
from distspc.kernels.candidates import Nearest, Pairs, Sieved, scales, sieve
from distspc.kernels.distance import (
    RowStatistics,
    choose_centre,
    error_bound,
    pair_distances,
    product_dtype,
    products,
    row_statistics,
)
from distspc.store import StorePath

logger = logging.getLogger(__name__)

FLOOD = 0.02
"""Share of a tile's pairs beyond which one more product in float64 costs less than computing the pairs again."""


@dataclass(frozen=True)
class Settings:
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

    store: StorePath
    layer: str
    metric: str
    n_neighbours: int
    drop_zero: bool
    category: str | None
    n_threads: int | None


@dataclass(frozen=True)
class TileResult:
    """What one tile of targets x images leaves; positions are those of the image table.

    Attributes
    ----------
    targets, images
        The ranges that the tile covers.
    pairs
        Pairs that may be among the nearest.
    exact
        Whether `pairs.square` is the exact distance, or else an estimate of its square.
    pool_sum, pool_count
        Sum and number of distances to the images of the tile, (n_targets,).
    norm, digest
        Euclidean norm and digest of each image of the tile, (n_images,).
    target_norm, target_digest
        The same of the targets.
    n_rescored, read_nbytes
        Pairs computed again in float64; bytes of activations read.
    """

    targets: Range
    images: Range
    pairs: Pairs
    exact: bool
    pool_sum: np.ndarray
    pool_count: np.ndarray
    norm: np.ndarray
    digest: np.ndarray
    target_norm: np.ndarray
    target_digest: np.ndarray
    n_rescored: int
    read_nbytes: int


@dataclass(frozen=True)
class Partial:
    """Products and sums of one feature tile; adding all feature tiles gives those of whole rows."""

    products: np.ndarray
    left: RowStatistics
    right: RowStatistics
    n_tiles: int
    read_nbytes: int


class Reader:
    """Reads activations of one layer as float32 and counts the bytes."""

    def __init__(self, settings: Settings, features: Range) -> None:
        self.settings, self.features, self.nbytes = settings, features, 0

    def __call__(self, images: Range | np.ndarray) -> np.ndarray:
        """Rows of these images, float32 (n, n_features), C-contiguous and our own to write to."""
        which = images if isinstance(images, np.ndarray) else slice(*images)
        group = f"activations/{self.settings.layer}"
        rows = zarr_store.read(self.settings.store, group, "activation", image=which, feature=slice(*self.features))
        self.nbytes += rows.nbytes
        return np.require(rows, dtype=np.float32, requirements=["C", "W"])


def blas_threads(n_threads: int | None) -> tuple[int, AbstractContextManager[object]]:
    """Threads to use, and a context in which BLAS uses as many."""
    from threadpoolctl import threadpool_info, threadpool_limits

    if n_threads is None:
        # What the worker was given on purpose (OMP_NUM_THREADS and its like) is what BLAS came up with.
        found = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        return max(found, default=1), nullcontext()
    return n_threads, threadpool_limits(n_threads, user_api="blas")


def search_rows(settings: Settings, targets: Range, images: Range, n_features: int, tile_rows: int) -> TileResult:
    """Nearest neighbours of some targets in a range of images, exact: whole rows of the targets in memory.

    Each tile of images is read once; pairs that its products cannot tell apart are computed again while it is there.

    Raises
    ------
    InputError
        If activations are not finite, or cannot be scaled as the metric needs.
    """
    n_threads, context = blas_threads(settings.n_threads)
    with context:
        read = Reader(settings, (0, n_features))
        search = _Search(settings, targets, read(targets), n_threads)
        for tile in image_tiles(images, targets, tile_rows):
            inside = targets[0] <= tile[0] and tile[1] <= targets[1]
            search.tile(tile, None if inside else read(tile))
        return search.result(images, read.nbytes)


class _Search:
    """State of `search_rows`: the targets' rows, and what the tiles so far have left."""

    def __init__(self, settings: Settings, targets: Range, rows: np.ndarray, n_threads: int) -> None:
        self.settings, self.targets, self.rows, self.n_threads = settings, targets, rows, n_threads
        statistics = row_statistics(rows, n_threads=n_threads)
        check_rows(settings, statistics, targets)
        self.centre = choose_centre(rows, statistics.square)
        if self.centre is not None:
            statistics = row_statistics(rows, centre=self.centre, n_threads=n_threads)
        self.left = statistics
        self.categories = category_codes(settings)
        n = targets[1] - targets[0]
        self.nearest = Nearest.empty(n, settings.n_neighbours)
        self.pool_sum, self.pool_count = np.zeros(n), np.zeros(n, dtype=np.int64)
        self.norms: list[np.ndarray] = []
        self.digests: list[np.ndarray] = []
        self.n_rescored = 0

    def tile(self, tile: Range, rows: np.ndarray | None) -> None:
        """Take in one tile of images; None for rows that are among the targets'."""
        if rows is None:
            own = slice(tile[0] - self.targets[0], tile[1] - self.targets[0])
            rows, right = self.rows[own], self.left[own]
        else:
            right = row_statistics(rows, centre=self.centre, n_threads=self.n_threads)
            check_rows(self.settings, right, tile)
        sieved = self._sieve(tile, rows, right)
        self._rescore(tile, rows, sieved)
        self.norms.append(np.sqrt(right.square))
        self.digests.append(right.digest)

    def _sieve(self, tile: Range, rows: np.ndarray, right: RowStatistics) -> Sieved:
        bound = error_bound(rows.shape[1], np.float32)
        dtype = product_dtype(self.left, right, bound)
        sieved = self._sieve_in(dtype, tile, rows, right)
        flooded = len(sieved.pairs) > max(64, FLOOD * len(self.rows) * len(rows))
        return self._sieve_in(np.float64, tile, rows, right) if flooded and dtype is np.float32 else sieved

    def _sieve_in(self, dtype: type[np.floating], tile: Range, rows: np.ndarray, right: RowStatistics) -> Sieved:
        return sieve(
            products(self.rows, rows, centre=self.centre, dtype=dtype),
            self.left,
            right,
            bound=error_bound(rows.shape[1], dtype),
            metric=self.settings.metric,
            n_neighbours=self.settings.n_neighbours,
            limit=self.nearest.limit(self.settings.metric),
            drop_zero=self.settings.drop_zero,
            own=own_columns(self.targets, tile),
            groups=pair_groups(self.categories, self.targets, tile),
            n_threads=self.n_threads,
        )

    def _rescore(self, tile: Range, rows: np.ndarray, sieved: Sieved) -> None:
        pairs, metric = sieved.pairs, self.settings.metric
        distance = pair_distances(self.rows, rows, pairs.target, pairs.image, metric=metric, n_threads=self.n_threads)
        self.n_rescored += len(pairs)
        self.pool_sum += sieved.pool_sum
        self.pool_count += sieved.pool_count
        correct_pool(self.pool_sum, self.pool_count, pairs, distance, metric, drop_zero=self.settings.drop_zero)
        counts = distance > 0 if self.settings.drop_zero else np.ones(len(pairs), dtype=bool)
        self.nearest.update(pairs.target[counts], pairs.image[counts] + tile[0], distance[counts])

    def result(self, images: Range, read_nbytes: int) -> TileResult:
        """What is left when all tiles are in."""
        target, neighbour = np.nonzero(self.nearest.image >= 0)
        distance = self.nearest.distance[target, neighbour]
        found = Pairs(target + self.targets[0], self.nearest.image[target, neighbour], distance, np.zeros(len(target)))
        return TileResult(
            self.targets,
            images,
            found,
            True,
            self.pool_sum,
            self.pool_count,
            np.concatenate(self.norms),
            np.concatenate(self.digests),
            np.sqrt(self.left.square),
            self.left.digest,
            self.n_rescored,
            read_nbytes,
        )


def correct_pool(
    pool_sum: np.ndarray,
    pool_count: np.ndarray,
    pairs: Pairs,
    distance: np.ndarray,
    metric: str,
    *,
    drop_zero: bool,
) -> None:
    """Put the exact distances of some pairs in the place of their estimates, in both arrays (positions from 0)."""
    square = np.maximum(pairs.square, 0)
    estimate = np.sqrt(square) if metric == "euclidean" else square / 2
    np.add.at(pool_sum, pairs.target, distance - estimate)
    if drop_zero:
        np.subtract.at(pool_count, pairs.target[distance == 0], 1)


def check_rows(settings: Settings, statistics: RowStatistics, images: Range) -> None:
    """Raise InputError naming images whose activations are not finite or cannot be scaled."""
    bad = ~np.isfinite(statistics.square)
    if bad.any():
        raise InputError(
            f"{settings.layer}: NaN or infinite activations of {_named(settings, images, bad)}; extract these images "
            "again, or leave them out"
        )
    if settings.metric != "euclidean":
        check_scales(settings, statistics, images)


def check_scales(settings: Settings, statistics: RowStatistics, images: Range) -> None:
    """Raise InputError naming images whose whole rows have no norm (cosine) or no variance (correlation)."""
    bad = scales(statistics, settings.metric) == 0
    if bad.any():
        lacking = "are all 0" if settings.metric == "cosine" else "do not vary"
        raise InputError(
            f"{settings.layer}: the activations of {_named(settings, images, bad)} {lacking}, so that "
            f"{settings.metric} distance is not defined; use metric euclidean, or leave these images out"
        )


def _named(settings: Settings, images: Range, bad: np.ndarray) -> str:
    known = zarr_store.labels(settings.store, "images", "image")
    names = [str(known[images[0] + i]) for i in np.flatnonzero(bad)]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"image{'s' if len(names) > 1 else ''} {', '.join(names[:10])}{more}"


def category_codes(settings: Settings) -> np.ndarray | None:
    """Category of every image as an integer, or None where categories do not matter."""
    if settings.category is None:
        return None
    return np.unique(zarr_store.read(settings.store, "images", settings.category), return_inverse=True)[1]


def pair_groups(codes: np.ndarray | None, targets: Range, images: Range) -> tuple[np.ndarray, np.ndarray] | None:
    """Codes of rows and columns of a tile, for `sieve`."""
    return None if codes is None else (codes[slice(*targets)], codes[slice(*images)])


def own_columns(targets: Range, images: Range) -> np.ndarray:
    """Column of a tile that holds each target itself, -1 where none does."""
    position = np.arange(*targets)
    return np.where((position >= images[0]) & (position < images[1]), position - images[0], -1)


# ---------------------------------------------------------------- feature tiles


def multiply_features(settings: Settings, targets: Range, images: Range, features: Range, tile_rows: int) -> Partial:
    """Float64 products and sums of one feature tile, for all pairs of some targets and a range of images.

    The result is big: it stays on the worker until `add_partials` has added it to its neighbours there. (That is
    cheaper than files: a tree adds up what lies on one worker without moving it.)
    """
    n_threads, context = blas_threads(settings.n_threads)
    with context:
        read = Reader(settings, features)
        rows = read(targets)
        left = row_statistics(rows, first_feature=features[0], n_threads=n_threads)
        _check_finite(settings, left, targets)
        centre = choose_centre(rows, left.square)
        if centre is not None:
            left = row_statistics(rows, centre=centre, first_feature=features[0], n_threads=n_threads)
        out = np.empty((len(rows), images[1] - images[0]))
        right: list[RowStatistics] = []
        for a, b in image_tiles(images, targets, tile_rows):
            inside = targets[0] <= a and b <= targets[1]
            tile = rows[a - targets[0] : b - targets[0]] if inside else read((a, b))
            right.append(row_statistics(tile, centre=centre, first_feature=features[0], n_threads=n_threads))
            _check_finite(settings, right[-1], (a, b))
            out[:, a - images[0] : b - images[0]] = products(rows, tile, centre=centre, dtype=np.float64)
    return Partial(out, left, joined(right), 1, read.nbytes)


def _check_finite(settings: Settings, statistics: RowStatistics, images: Range) -> None:
    check_rows(replace(settings, metric="euclidean"), statistics, images)


def joined(parts: list[RowStatistics]) -> RowStatistics:
    """Statistics of rows one below the other."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("total", "square", "centred", "along", "digest")
    }
    return replace(parts[0], **columns)


def add_partials(parts: list[Partial]) -> Partial:
    """Sum of feature tiles."""
    total = parts[0].products + parts[1].products if len(parts) > 1 else parts[0].products
    for part in parts[2:]:
        total += part.products
    return Partial(
        total,
        reduce(RowStatistics.__add__, [p.left for p in parts]),
        reduce(RowStatistics.__add__, [p.right for p in parts]),
        sum(p.n_tiles for p in parts),
        sum(p.read_nbytes for p in parts),
    )


def search_products(settings: Settings, targets: Range, images: Range, partial: Partial) -> TileResult:
    """Candidates from the products of whole rows, with what each estimate can be off; nothing is read again here."""
    check_scales(settings, partial.left, targets)
    check_scales(settings, partial.right, images)
    n_threads, _ = blas_threads(settings.n_threads)
    sieved = sieve(
        partial.products,
        partial.left,
        partial.right,
        bound=error_bound(partial.left.n_features, np.float64, n_tiles=partial.n_tiles),
        metric=settings.metric,
        n_neighbours=settings.n_neighbours,
        limit=np.full(len(partial.products), np.inf),
        drop_zero=settings.drop_zero,
        own=own_columns(targets, images),
        groups=pair_groups(category_codes(settings), targets, images),
        n_threads=n_threads,
    )
    return TileResult(
        targets,
        images,
        sieved.pairs.shifted(targets[0], images[0]),
        False,
        sieved.pool_sum,
        sieved.pool_count,
        np.sqrt(partial.right.square),
        partial.right.digest,
        np.sqrt(partial.left.square),
        partial.left.digest,
        0,
        partial.read_nbytes,
    )


def rescore(settings: Settings, pairs: Pairs, n_features: int, nbytes: int) -> tuple[np.ndarray, int]:
    """Distances of pairs from their rows, read again in groups of at most `nbytes`; and the bytes read."""
    n_threads, context = blas_threads(settings.n_threads)
    read = Reader(settings, (0, n_features))
    distance = np.empty(len(pairs))
    order = np.lexsort((pairs.target, pairs.image))
    size = max(1, nbytes // (2 * 4 * n_features))
    with context:
        for group in _groups(order, size):
            images, cols = np.unique(pairs.image[group], return_inverse=True)
            targets, rows = np.unique(pairs.target[group], return_inverse=True)
            x, y = read(targets), read(images)
            distance[group] = pair_distances(x, y, rows, cols, metric=settings.metric, n_threads=n_threads)
    return distance, read.nbytes


def _groups(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]
