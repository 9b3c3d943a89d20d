"""What a worker does where whole rows fit: multiply, select, compute close pairs again while their rows are there."""

from __future__ import annotations

import numpy as np

from distspc.distances.checks import check_rows
from distspc.distances.planning.plan import Range, overlap
from distspc.distances.reading import category_codes
from distspc.distances.tile import DistanceTask, Tile, TileResult, pair_groups, self_columns
from distspc.distances.tile_stream import task_rows
from distspc.kernels.distance.bounds import error_bound, product_dtype
from distspc.kernels.distance.candidates import Nearest, Pairs, Selection, add_to_pool, select_candidates
from distspc.kernels.distance.products import choose_centre, pair_distances, products, symmetric_products
from distspc.kernels.distance.rows import RowStatistics, row_statistics
from distspc.kernels.threads import in_threads

MAX_CANDIDATE_SHARE = 0.02
"""Share of a tile's pairs beyond which one more product in float64 costs less than computing the pairs again."""


def search_rows(task: DistanceTask) -> TileResult:
    """Nearest neighbours of some targets in a range of images, exact: whole rows of the targets in memory.

    Pairs that the products of a tile cannot tell apart are computed again while it is there.

    Raises
    ------
    InputError
        If activations are not finite, or cannot be scaled as the metric needs.
    """
    with task_rows(task) as rows:
        search = RowSearch(task, rows.targets, rows.n_threads)
        rows.stream_to(search)
        return search.result(rows.read_nbytes)


class RowSearch:
    """State of `search_rows`: the targets' rows, and what the tiles so far have left.

    Targets are images of the table unless a subclass says otherwise.
    """

    tile_threads = 1
    """Threads that look at a tile just read, while others compare: few targets leave them idle."""

    def __init__(self, task: DistanceTask, rows: np.ndarray, n_threads: int) -> None:
        self.task, self.options, self.rows, self.n_threads = task, task.options, rows, n_threads
        statistics = row_statistics(rows, n_threads=n_threads)
        self.check_targets(statistics)
        self.centre = choose_centre(rows, statistics.norm_sq, n_threads=n_threads)
        if self.centre is not None:
            statistics = row_statistics(rows, centre=self.centre, n_threads=n_threads)
        self.left = statistics
        self.categories = category_codes(task.options)
        self.nearest = Nearest.empty(task.n_targets, task.options.n_neighbours)
        self.pool_sum, self.pool_count = np.zeros(task.n_targets), np.zeros(task.n_targets, dtype=np.int64)
        self.norm, self.digest = np.empty(task.n_images), np.empty(task.n_images, dtype=np.uint64)
        self.n_rescored: list[int] = []

    def check_targets(self, statistics: RowStatistics) -> None:
        """Refuse targets that cannot be compared."""
        check_rows(self.options, statistics, self.task.targets)

    def own_columns(self, which: slice, images: Range) -> np.ndarray:
        """Column of a tile that holds each of some targets itself, -1 where none does."""
        return self_columns(self._positions(which), images)

    def groups(self, which: slice, images: Range) -> tuple[np.ndarray, np.ndarray] | None:
        """Category codes of some targets and of the images of a tile."""
        return pair_groups(self.categories, self._positions(which), images)

    def _positions(self, which: slice) -> Range:
        first = self.task.targets[0]
        return first + which.start, first + which.stop

    def tile(self, images: Range, rows: np.ndarray) -> Tile:
        """Statistics of images just read, checked."""
        statistics = row_statistics(rows, centre=self.centre, n_threads=self.tile_threads)
        check_rows(self.options, statistics, images)
        return self._recorded(Tile(images, rows, statistics))

    def _recorded(self, tile: Tile) -> Tile:
        columns = self.task.image_columns(tile.images)
        self.norm[columns], self.digest[columns] = np.sqrt(tile.statistics.norm_sq), tile.statistics.digest
        return tile

    def compare_targets(self) -> None:
        """Compare all targets with those of them that are among the images, some at once."""
        first, last = overlap(self.task.targets, self.task.images)
        for start in range(first, last, self.task.tile_rows):
            some = self._recorded(self._among(start, min(start + self.task.tile_rows, last)))
            if (first, last) == self.task.targets:
                self._compare_both_ways(some)
            else:
                self._compare_in_threads(self.task.target_rows(self.task.targets), some)

    def _among(self, start: int, stop: int) -> Tile:
        which = self.task.target_rows((start, stop))
        return Tile((start, stop), self.rows[which], self.left[which])

    def _compare_both_ways(self, some: Tile) -> None:
        # Distances are symmetric: the products of some targets with those below them serve both sides.
        which, dtype = self.task.target_rows(some.images), self._dtype(some)
        among = symmetric_products(some.rows, centre=self.centre, dtype=dtype, n_threads=self.n_threads)
        self._take_in_threads(which, some, among)
        del among
        tile_rows, end = self.task.tile_rows, self.task.targets[1]
        for start in range(some.images[1], end, tile_rows):
            below = self._among(start, min(start + tile_rows, end))
            shared = self._compare_in_threads(which, below)
            self._take_in_threads(self.task.target_rows(below.images), some, shared.T)

    def _compare_in_threads(self, which: slice, tile: Tile) -> np.ndarray:
        product = self._products(which, tile, self.n_threads)
        self._take_in_threads(which, tile, product)
        return product

    def _take_in_threads(self, which: slice, tile: Tile, product: np.ndarray) -> None:
        def work(start: int, stop: int) -> None:
            self._take(slice(which.start + start, which.start + stop), tile, product[start:stop])

        in_threads(work, which.stop - which.start, self.n_threads)

    def compare(self, which: slice, tile: Tile) -> None:
        """Compare some targets with a tile of images."""
        self._take(which, tile, self._products(which, tile, 1))

    def _products(self, which: slice, tile: Tile, n_threads: int) -> np.ndarray:
        dtype = self._dtype(tile)
        return products(self.rows[which], tile.rows, centre=self.centre, dtype=dtype, n_threads=n_threads)

    def _dtype(self, tile: Tile) -> type[np.floating]:
        bound = error_bound(self.left.n_features, np.float32, centred=self.centre is not None)
        return product_dtype(self.left, tile.statistics, bound)

    def _take(self, which: slice, tile: Tile, product: np.ndarray) -> None:
        """Take in the pairs of some targets and a tile; threads may do so at the same time for other targets."""
        step = max(1, self.options.limits.pairs_at_once // product.shape[1])
        for start in range(0, len(product), step):
            stop = min(start + step, len(product))
            self._take_some(slice(which.start + start, which.start + stop), tile, product[start:stop])

    def _take_some(self, which: slice, tile: Tile, product: np.ndarray) -> None:
        selection = self._select(which, tile, product)
        flooded = len(selection.pairs) > max(64, MAX_CANDIDATE_SHARE * product.size)
        if product.dtype == np.float32 and (flooded or selection.cancellation):
            again = products(self.rows[which], tile.rows, centre=self.centre, dtype=np.float64)
            selection = self._select(which, tile, again)
        self._rescore(which, tile, selection)

    def _select(self, which: slice, tile: Tile, product: np.ndarray) -> Selection:
        return select_candidates(
            product,
            self.left[which],
            tile.statistics,
            bound=error_bound(self.left.n_features, product.dtype, centred=self.centre is not None),
            metric=self.options.metric,
            n_neighbours=self.options.n_neighbours,
            limit=self.nearest.limit(self.options.metric)[which],
            drop_zero=self.options.drop_zero,
            self_columns=self.own_columns(which, tile.images),
            groups=self.groups(which, tile.images),
        )

    def _rescore(self, which: slice, tile: Tile, selection: Selection) -> None:
        pairs, drop_zero = selection.pairs.shifted(which.start, 0), self.options.drop_zero
        distance = pair_distances(self.rows, tile.rows, pairs.target, pairs.image, metric=self.options.metric)
        self.n_rescored.append(len(pairs))
        self.pool_sum[which] += selection.pool_sum
        self.pool_count[which] += selection.pool_count
        add_to_pool(self.pool_sum, self.pool_count, pairs.target, distance, drop_zero=drop_zero)
        counts = distance > 0 if drop_zero else np.ones(len(pairs), dtype=bool)
        self.nearest.update(pairs.target[counts], pairs.image[counts] + tile.images[0], distance[counts])

    def result(self, read_nbytes: int) -> TileResult:
        """What is left when all tiles are in."""
        target, neighbour = np.nonzero(self.nearest.image >= 0)
        distance = self.nearest.distance[target, neighbour]
        image, exactly = self.nearest.image[target, neighbour], np.zeros(len(target))
        return TileResult(
            targets=self.task.targets,
            images=self.task.images,
            pairs=Pairs(target + self.task.targets[0], image, distance, exactly),
            exact=True,
            pool_sum=self.pool_sum,
            pool_count=self.pool_count,
            norm=self.norm[: self.task.n_images * self.task.with_images],
            digest=self.digest[: self.task.n_images * self.task.with_images],
            target_norm=np.sqrt(self.left.norm_sq),
            target_digest=self.left.digest,
            n_rescored=sum(self.n_rescored),
            read_nbytes=read_nbytes,
        )
