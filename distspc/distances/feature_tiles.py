"""What a worker does where whole rows do not fit: products of feature tiles, their sum, candidates from the sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from distspc.distances.checks import check_rows, check_scales
from distspc.distances.options import DistanceOptions
from distspc.distances.plan import Range, overlap
from distspc.distances.reading import Reader, category_codes
from distspc.distances.tile import Tile, TileResult, pair_groups, self_columns
from distspc.distances.tile_stream import pass_over
from distspc.kernels.distance.bounds import error_bound
from distspc.kernels.distance.candidates import Pairs, select_candidates
from distspc.kernels.distance.products import choose_centre, pair_distances, products, symmetric_products
from distspc.kernels.distance.rows import RowStatistics, row_statistics
from distspc.kernels.threads import single_threaded_blas


@dataclass(frozen=True)
class Partial:
    """Products and sums of one feature tile; adding all feature tiles gives those of whole rows."""

    products: np.ndarray
    left: RowStatistics
    right: RowStatistics
    n_tiles: int
    read_nbytes: int


def multiply_features(
    settings: DistanceOptions, targets: Range, images: Range, features: Range, tile_rows: int
) -> Partial:
    """Float64 products and sums of one feature tile, for all pairs of some targets and a range of images.

    The result is big: it stays on the worker until `add_partials` has added it to its neighbours there. (That is
    cheaper than files: a tree adds up what lies on one worker without moving it.)
    """

    def begin(rows: np.ndarray, n_threads: int) -> _Products:
        return _Products(settings, targets, images, features, rows, n_threads)

    return pass_over(settings, targets, images, features, tile_rows, begin)


class _Products:
    """State of `multiply_features`: the targets' rows, and products and sums so far."""

    def __init__(
        self,
        settings: DistanceOptions,
        targets: Range,
        images: Range,
        features: Range,
        rows: np.ndarray,
        n_threads: int,
    ) -> None:
        self.settings, self.targets, self.images, self.rows = settings, targets, images, rows
        self.first_feature, self.n_threads = features[0], n_threads
        self.left = row_statistics(rows, first_feature=self.first_feature, n_threads=n_threads)
        _check_finite(settings, self.left, targets)
        self.centre = choose_centre(rows, self.left.square, n_threads=n_threads)
        if self.centre is not None:
            self.left = self._statistics(rows, n_threads)
        self.right: dict[int, RowStatistics] = {}
        self.out = np.empty((len(rows), images[1] - images[0]), order="F")

    def _statistics(self, rows: np.ndarray, n_threads: int = 1) -> RowStatistics:
        return row_statistics(rows, centre=self.centre, first_feature=self.first_feature, n_threads=n_threads)

    def tile(self, images: Range, rows: np.ndarray) -> Tile:
        """Statistics of images just read, checked."""
        tile = Tile(images, rows, self._statistics(rows))
        _check_finite(self.settings, tile.statistics, images)
        self.right[images[0]] = tile.statistics
        return tile

    def _columns(self, images: Range) -> slice:
        return slice(images[0] - self.images[0], images[1] - self.images[0])

    def compare_targets(self) -> None:
        """Multiply all targets with those of them that are among the images."""
        own = overlap(self.targets, self.images)
        if own[0] == own[1]:
            return
        which = slice(own[0] - self.targets[0], own[1] - self.targets[0])
        self.right[own[0]] = self.left[which]
        out = self.out[:, self._columns(own)]
        if own == self.targets:
            symmetric_products(self.rows, centre=self.centre, dtype=out.dtype, n_threads=self.n_threads, out=out)
        else:
            self._multiply(self.rows, self.rows[which], out, self.n_threads)

    def compare(self, which: slice, tile: Tile) -> None:
        """Multiply some targets with a tile of images; threads may do so at the same time for other targets."""
        self._multiply(self.rows[which], tile.rows, self.out[which, self._columns(tile.images)], 1)

    def _multiply(self, x: np.ndarray, y: np.ndarray, out: np.ndarray, n_threads: int) -> None:
        products(x, y, centre=self.centre, dtype=out.dtype, n_threads=n_threads, out=out)

    def result(self, read_nbytes: int) -> Partial:
        """What is left when all tiles are in."""
        right = RowStatistics.joined([self.right[start] for start in sorted(self.right)])
        return Partial(self.out, self.left, right, 1, read_nbytes)


def _check_finite(settings: DistanceOptions, statistics: RowStatistics, images: Range) -> None:
    check_rows(replace(settings, metric="euclidean"), statistics, images)


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


def search_products(settings: DistanceOptions, targets: Range, images: Range, partial: Partial) -> TileResult:
    """Candidates from the products of whole rows, with what each estimate can be off; nothing is read again here."""
    check_scales(settings, partial.left, targets)
    check_scales(settings, partial.right, images)
    sieved = select_candidates(
        partial.products,
        partial.left,
        partial.right,
        bound=error_bound(partial.left.n_features, np.float64, n_tiles=partial.n_tiles),
        metric=settings.metric,
        n_neighbours=settings.n_neighbours,
        limit=np.full(len(partial.products), np.inf),
        drop_zero=settings.drop_zero,
        own=self_columns(targets, images),
        groups=pair_groups(category_codes(settings), targets, images),
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


def rescore(settings: DistanceOptions, pairs: Pairs, n_features: int, nbytes: int) -> tuple[np.ndarray, int]:
    """Distances of pairs from their rows, read again in groups of at most `nbytes`; and the bytes read."""
    read = Reader(settings, (0, n_features))
    distance = np.empty(len(pairs))
    order = np.lexsort((pairs.target, pairs.image))
    size = max(1, nbytes // (2 * 4 * n_features))
    with single_threaded_blas(settings.n_threads) as n_threads:
        for group in _groups(order, size):
            images, cols = np.unique(pairs.image[group], return_inverse=True)
            targets, rows = np.unique(pairs.target[group], return_inverse=True)
            x, y = read(targets), read(images)
            distance[group] = pair_distances(x, y, rows, cols, metric=settings.metric, n_threads=n_threads)
    return distance, read.nbytes


def _groups(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]
