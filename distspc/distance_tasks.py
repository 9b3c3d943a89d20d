"""What a worker does for one tile of distances: read activations, multiply, sieve, compute close pairs again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from distspc import store as zarr_store
from distspc.distance_plan import Range, image_tiles
from distspc.errors import InputError
from distspc.kernels.candidates import Nearest, Pairs, Sieved, scales, sieve
from distspc.kernels.distance import (
    RowStatistics,
    choose_centre,
    error_bound,
    in_threads,
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


_blas_lock = threading.Lock()
_blas_users: list[int] = []


@contextmanager
def single_threaded_blas(n_threads: int | None) -> Iterator[int]:
    """Context in which BLAS runs on one thread; gives the number of threads of our own to use instead.

    Threads that each multiply their part of the rows, and do what stands around the products too, beat a BLAS that
    starts threads product by product (and keeps them spinning in between).
    """
    from threadpoolctl import ThreadpoolController

    blas = ThreadpoolController().select(user_api="blas")
    with _blas_lock:
        # What the worker was given on purpose (OMP_NUM_THREADS and its like) is what BLAS came up with. Tasks that
        # run at the same time share it: the first lowers it, the last puts it back.
        _blas_users.append(
            _blas_users[-1] if _blas_users else max([c.num_threads for c in blas.lib_controllers] or [1])
        )
        for library in blas.lib_controllers:
            library.set_num_threads(1)
    try:
        yield n_threads or _blas_users[-1]
    finally:
        with _blas_lock:
            threads = _blas_users.pop()
            if not _blas_users:
                for library in blas.lib_controllers:
                    library.set_num_threads(threads)


def search_rows(settings: Settings, targets: Range, images: Range, n_features: int, tile_rows: int) -> TileResult:
    """Nearest neighbours of some targets in a range of images, exact: whole rows of the targets in memory.

    Each tile of images is read once; pairs that its products cannot tell apart are computed again while it is there.

    Raises
    ------
    InputError
        If activations are not finite, or cannot be scaled as the metric needs.
    """
    with single_threaded_blas(settings.n_threads) as n_threads:
        read = Reader(settings, (0, n_features))
        search = _Search(settings, targets, images, read(targets), n_threads)
        for tile, rows in _read_ahead(read, image_tiles(images, targets, tile_rows), targets):
            search.tile(tile, rows)
        return search.result(read.nbytes)


def _read_ahead(read: Reader, tiles: Sequence[Range], held: Range) -> Iterator[tuple[Range, np.ndarray | None]]:
    """Tiles with their rows, None for those within the range `held`; reads the next while one is worked on."""
    wanted = [None if held[0] <= a and b <= held[1] else (a, b) for a, b in tiles]
    with ThreadPoolExecutor(1) as pool:
        jobs = iter(wanted)

        def start() -> Future[np.ndarray] | None:
            following = next((w for w in jobs if w is not None), None)
            return None if following is None else pool.submit(read, following)

        ahead = start()
        for tile, want in zip(tiles, wanted, strict=True):
            if want is None or ahead is None:
                yield tile, None
                continue
            rows = ahead.result()
            ahead = start()
            yield tile, rows


class _Search:
    """State of `search_rows`: the targets' rows, and what the tiles so far have left."""

    def __init__(self, settings: Settings, targets: Range, images: Range, rows: np.ndarray, n_threads: int) -> None:
        self.settings, self.targets, self.images, self.rows = settings, targets, images, rows
        self.n_threads = n_threads
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
        self.n_rescored: list[int] = []

    def tile(self, tile: Range, rows: np.ndarray | None) -> None:
        """Take in one tile of images; None for rows that are among the targets'."""
        everyone = slice(0, len(self.rows))
        if rows is not None:
            right = row_statistics(rows, centre=self.centre, n_threads=self.n_threads)
            check_rows(self.settings, right, tile)
            self._compare(everyone, tile, rows, right, self._products(everyone, rows, right))
        else:
            own = slice(tile[0] - self.targets[0], tile[1] - self.targets[0])
            rows, right = self.rows[own], self.left[own]
            if self.images[0] <= self.targets[0] and self.targets[1] <= self.images[1]:
                self._own_tile(own, tile)
            else:
                self._compare(everyone, tile, rows, right, self._products(everyone, rows, right))
        self.norms.append(np.sqrt(right.square))
        self.digests.append(right.digest)

    def _own_tile(self, own: slice, tile: Range) -> None:
        # Distances are symmetric: the products of a tile with the targets below it serve both sides.
        below, rest = slice(own.start, len(self.rows)), slice(own.stop, len(self.rows))
        rows, right = self.rows[own], self.left[own]
        shared = self._products(below, rows, right)
        self._compare(below, tile, rows, right, shared)
        if rest.start < rest.stop:
            others = (self.targets[0] + rest.start, self.targets[1])
            self._compare(own, others, self.rows[rest], self.left[rest], shared[own.stop - own.start :].T)

    def _products(self, which: slice, rows: np.ndarray, right: RowStatistics) -> np.ndarray:
        dtype = product_dtype(self.left[which], right, error_bound(right.n_features, np.float32))
        return products(self.rows[which], rows, centre=self.centre, dtype=dtype, n_threads=self.n_threads)

    def _compare(self, which: slice, tile: Range, rows: np.ndarray, right: RowStatistics, product: np.ndarray) -> None:
        """Take in the pairs of some targets and a tile of images; each thread takes targets of its own."""

        def work(start: int, stop: int) -> None:
            part = slice(which.start + start, which.start + stop)
            sieved = self._sieve(part, tile, right, product[start:stop])
            if product.dtype == np.float32 and len(sieved.pairs) > max(64, FLOOD * (stop - start) * len(rows)):
                again = products(self.rows[part], rows, centre=self.centre, dtype=np.float64)
                sieved = self._sieve(part, tile, right, again)
            self._rescore(part, tile, rows, sieved)

        in_threads(work, which.stop - which.start, self.n_threads)

    def _sieve(self, which: slice, tile: Range, right: RowStatistics, product: np.ndarray) -> Sieved:
        targets = (self.targets[0] + which.start, self.targets[0] + which.stop)
        return sieve(
            product,
            self.left[which],
            right,
            bound=error_bound(right.n_features, product.dtype),
            metric=self.settings.metric,
            n_neighbours=self.settings.n_neighbours,
            limit=self.nearest.limit(self.settings.metric)[which],
            drop_zero=self.settings.drop_zero,
            own=own_columns(targets, tile),
            groups=pair_groups(self.categories, targets, tile),
        )

    def _rescore(self, which: slice, tile: Range, rows: np.ndarray, sieved: Sieved) -> None:
        pairs, metric = sieved.pairs.shifted(which.start, 0), self.settings.metric
        distance = pair_distances(self.rows, rows, pairs.target, pairs.image, metric=metric)
        self.n_rescored.append(len(pairs))
        self.pool_sum[which] += sieved.pool_sum
        self.pool_count[which] += sieved.pool_count
        correct_pool(self.pool_sum, self.pool_count, pairs, distance, metric, drop_zero=self.settings.drop_zero)
        counts = distance > 0 if self.settings.drop_zero else np.ones(len(pairs), dtype=bool)
        self.nearest.update(pairs.target[counts], pairs.image[counts] + tile[0], distance[counts])

    def result(self, read_nbytes: int) -> TileResult:
        """What is left when all tiles are in."""
        target, neighbour = np.nonzero(self.nearest.image >= 0)
        distance = self.nearest.distance[target, neighbour]
        found = Pairs(target + self.targets[0], self.nearest.image[target, neighbour], distance, np.zeros(len(target)))
        return TileResult(
            self.targets,
            self.images,
            found,
            True,
            self.pool_sum,
            self.pool_count,
            np.concatenate(self.norms),
            np.concatenate(self.digests),
            np.sqrt(self.left.square),
            self.left.digest,
            sum(self.n_rescored),
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
