"""What a worker does where rows are cut: products of feature tiles, their sum, candidates from the sum.

Products are those of float32 in short panels, added up in float64, so that few pairs are too close to tell: these are
read again, whole rows, when all tiles of a layer are in. Where they would be many, a task multiplies its tiles once
more, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import DTypeLike

from distspc.distances.checks import check_rows, check_scales
from distspc.distances.options import LayerOptions
from distspc.distances.planning.plan import Range, overlap
from distspc.distances.reading import Reader, category_codes
from distspc.distances.tile import DistanceTask, Tile, TileResult, pair_groups, self_columns
from distspc.distances.tile_stream import task_rows
from distspc.kernels.distance.bounds import error_bound, product_dtype, summed_bound
from distspc.kernels.distance.candidates import Pairs, Selection, select_candidates
from distspc.kernels.distance.products import choose_centre, pair_distances, products, symmetric_products
from distspc.kernels.distance.rows import RowStatistics, row_statistics
from distspc.kernels.threads import single_threaded_blas

MAX_CANDIDATE_SHARE = 0.0025
"""Share of a tile's pairs beyond which products in float64 cost less than reading so many pairs again."""


@dataclass(frozen=True)
class Partial:
    """Products and sums of one feature tile; adding all feature tiles gives those of whole rows."""

    products: np.ndarray
    dtype: np.dtype
    left: RowStatistics
    right: RowStatistics
    n_tiles: int
    read_nbytes: int


def multiply_features(task: DistanceTask, dtype: DTypeLike = np.float32) -> Partial:
    """Sums in float64 of products in `dtype`, of one feature tile, for all pairs of some targets and a range of images.

    The result is big: it stays on the worker until `add_partials` has added it to its neighbours there. (That is
    cheaper than files: a tree adds up what lies on one worker without moving it.)
    """
    with task_rows(task) as rows:
        multiplier = _Products(task, rows.targets, rows.n_threads, np.dtype(dtype))
        rows.stream_to(multiplier)
        return multiplier.result(rows.read_nbytes)


class _Products:
    """State of `multiply_features`: the targets' rows, and products and sums so far."""

    def __init__(self, task: DistanceTask, rows: np.ndarray, n_threads: int, dtype: np.dtype) -> None:
        self.task, self.rows, self.n_threads, self.dtype = task, rows, n_threads, dtype
        self.centre: np.ndarray | None = None
        self.left = self._statistics(rows, n_threads)
        _check_finite(task.options, self.left, task.targets)
        self.centre = choose_centre(rows, self.left.norm_sq, n_threads=n_threads)
        if self.centre is not None:
            self.left = self._statistics(rows, n_threads)
        self.right: dict[int, RowStatistics] = {}
        self.out = np.empty((task.n_targets, task.n_images), order="F")

    def _statistics(self, rows: np.ndarray, n_threads: int = 1) -> RowStatistics:
        first = self.task.features[0]
        return row_statistics(rows, centre=self.centre, first_feature=first, keep_blocks=True, n_threads=n_threads)

    def tile(self, images: Range, rows: np.ndarray) -> Tile:
        """Statistics of images just read, checked."""
        tile = Tile(images, rows, self._statistics(rows))
        _check_finite(self.task.options, tile.statistics, images)
        self.right[images[0]] = tile.statistics
        return tile

    def compare_targets(self) -> None:
        """Multiply all targets with those of them that are among the images."""
        shared = overlap(self.task.targets, self.task.images)
        if shared[0] == shared[1]:
            return
        which = self.task.target_rows(shared)
        self.right[shared[0]] = self.left[which]
        out = self.out[:, self.task.image_columns(shared)]
        among = Tile(shared, self.rows[which], self.left[which])
        if shared == self.task.targets:
            dtype = self._dtype(among)
            symmetric_products(self.rows, centre=self.centre, dtype=dtype, n_threads=self.n_threads, out=out)
        else:
            self._multiply(self.rows, among, out, self.n_threads)

    def compare(self, which: slice, tile: Tile) -> None:
        """Multiply some targets with a tile of images; threads may do so at the same time for other targets."""
        self._multiply(self.rows[which], tile, self.out[which, self.task.image_columns(tile.images)], 1)

    def _multiply(self, rows: np.ndarray, tile: Tile, out: np.ndarray, n_threads: int) -> None:
        products(rows, tile.rows, centre=self.centre, dtype=self._dtype(tile), n_threads=n_threads, out=out)

    def _dtype(self, tile: Tile) -> DTypeLike:
        if self.dtype == np.float64:
            return self.dtype
        return product_dtype(self.left, tile.statistics, summed_bound(self.left.n_features))

    def result(self, read_nbytes: int) -> Partial:
        """What is left when all tiles are in."""
        right = RowStatistics.joined([self.right[start] for start in sorted(self.right)])
        return Partial(self.out, self.dtype, self.left, right, n_tiles=1, read_nbytes=read_nbytes)


def _check_finite(options: LayerOptions, statistics: RowStatistics, images: Range) -> None:
    check_rows(replace(options, metric="euclidean"), statistics, images)


def add_partials(parts: list[Partial]) -> Partial:
    """Sum of feature tiles."""
    products = parts[0].products + parts[1].products if len(parts) > 1 else parts[0].products
    for part in parts[2:]:
        products += part.products
    return Partial(
        products=products,
        dtype=parts[0].dtype,
        left=reduce(RowStatistics.__add__, [p.left for p in parts]),
        right=reduce(RowStatistics.__add__, [p.right for p in parts]),
        n_tiles=sum(p.n_tiles for p in parts),
        read_nbytes=sum(p.read_nbytes for p in parts),
    )


def search_products(task: DistanceTask, partial: Partial, features: Sequence[Range]) -> TileResult:
    """Candidates from the products of whole rows, with what each estimate can be off.

    Nothing is read again here, unless there are so many that it is better to multiply all `features` in float64.
    """
    check_scales(task.options, partial.left, task.targets)
    check_scales(task.options, partial.right, task.images)
    read_nbytes, selection = partial.read_nbytes, _select(task, partial)
    if selection.cancellation or _many(selection, task):
        partial = reduce(_added, (multiply_features(replace(task, features=f), np.float64) for f in features))
        read_nbytes, selection = read_nbytes + partial.read_nbytes, _select(task, partial)
    nothing = np.empty(0)
    return TileResult(
        targets=task.targets,
        images=task.images,
        pairs=selection.pairs.shifted(task.targets[0], task.images[0]),
        exact=False,
        pool_sum=selection.pool_sum,
        pool_count=selection.pool_count,
        norm=np.sqrt(partial.right.joined_norm_sq) if task.with_images else nothing,
        digest=partial.right.digest if task.with_images else nothing,
        target_norm=np.sqrt(partial.left.joined_norm_sq),
        target_digest=partial.left.digest,
        n_rescored=0,
        read_nbytes=read_nbytes,
    )


def _added(left: Partial, right: Partial) -> Partial:
    return add_partials([left, right])


def _many(selection: Selection, task: DistanceTask) -> bool:
    few = task.options.n_neighbours * task.n_targets
    return len(selection.pairs) - few > max(64, MAX_CANDIDATE_SHARE * task.n_targets * task.n_images)


def _select(task: DistanceTask, partial: Partial) -> Selection:
    options, n_features, n_tiles = task.options, partial.left.n_features, partial.n_tiles
    if partial.dtype == np.float64:
        bound = error_bound(n_features, np.float64, n_tiles=n_tiles, centred=True)
    else:
        bound = summed_bound(n_features, n_tiles=n_tiles)
    return select_candidates(
        partial.products,
        partial.left,
        partial.right,
        bound=bound,
        metric=options.metric,
        n_neighbours=options.n_neighbours,
        limit=np.full(len(partial.products), np.inf),
        drop_zero=options.drop_zero,
        self_columns=self_columns(task.targets, task.images),
        groups=pair_groups(category_codes(options), task.targets, task.images),
    )


def rescore(options: LayerOptions, pairs: Pairs, n_features: int, nbytes: int) -> tuple[np.ndarray, int]:
    """Distances of pairs from their rows, read again in groups of at most `nbytes`; and the bytes read."""
    read = Reader(options, (0, n_features))
    distance = np.empty(len(pairs))
    order = np.lexsort((pairs.target, pairs.image))
    size = max(1, nbytes // (2 * 4 * n_features))
    with single_threaded_blas(options.n_threads) as n_threads:
        for group in _groups(order, size):
            images, cols = np.unique(pairs.image[group], return_inverse=True)
            targets, rows = np.unique(pairs.target[group], return_inverse=True)
            x, y = read(targets), read(images)
            distance[group] = pair_distances(x, y, rows, cols, metric=options.metric, n_threads=n_threads)
    return distance, read.nbytes


def _groups(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]
