"""What a worker does where whole rows fit: multiply, sieve, compute close pairs again while their rows are there."""

from __future__ import annotations

import numpy as np

from distspc.distances.checks import check_rows
from distspc.distances.options import DistanceOptions
from distspc.distances.plan import Range, overlap
from distspc.distances.reading import category_codes
from distspc.distances.tile import Tile, TileResult, pair_groups, self_columns
from distspc.distances.tile_stream import pass_over
from distspc.kernels.distance.bounds import error_bound, product_dtype
from distspc.kernels.distance.candidates import Nearest, Pairs, Selection, add_to_pool, select_candidates
from distspc.kernels.distance.products import choose_centre, pair_distances, products, symmetric_products
from distspc.kernels.distance.rows import row_statistics
from distspc.kernels.threads import in_threads

MAX_CANDIDATE_SHARE = 0.02
"""Share of a tile's pairs beyond which one more product in float64 costs less than computing the pairs again."""
PAIRS_AT_ONCE = 2**19
"""Pairs of a thread that are taken in at once: where many are duplicates, each takes 100 bytes and more."""


def search_rows(
    settings: DistanceOptions, targets: Range, images: Range, n_features: int, tile_rows: int
) -> TileResult:
    """Nearest neighbours of some targets in a range of images, exact: whole rows of the targets in memory.

    Pairs that the products of a tile cannot tell apart are computed again while it is there.

    Raises
    ------
    InputError
        If activations are not finite, or cannot be scaled as the metric needs.
    """

    def begin(rows: np.ndarray, n_threads: int) -> _Search:
        return _Search(settings, targets, images, tile_rows, rows, n_threads)

    return pass_over(settings, targets, images, (0, n_features), tile_rows, begin)


class _Search:
    """State of `search_rows`: the targets' rows, and what the tiles so far have left."""

    def __init__(
        self, settings: DistanceOptions, targets: Range, images: Range, tile_rows: int, rows: np.ndarray, n_threads: int
    ) -> None:
        self.settings, self.targets, self.images, self.rows = settings, targets, images, rows
        self.tile_rows, self.n_threads = tile_rows, n_threads
        statistics = row_statistics(rows, n_threads=n_threads)
        check_rows(settings, statistics, targets)
        self.centre = choose_centre(rows, statistics.square, n_threads=n_threads)
        if self.centre is not None:
            statistics = row_statistics(rows, centre=self.centre, n_threads=n_threads)
        self.left = statistics
        self.categories = category_codes(settings)
        n, n_images = targets[1] - targets[0], images[1] - images[0]
        self.nearest = Nearest.empty(n, settings.n_neighbours)
        self.pool_sum, self.pool_count = np.zeros(n), np.zeros(n, dtype=np.int64)
        self.norm, self.digest = np.empty(n_images), np.empty(n_images, dtype=np.uint64)
        self.n_rescored: list[int] = []

    def tile(self, images: Range, rows: np.ndarray) -> Tile:
        """Statistics of images just read, checked."""
        statistics = row_statistics(rows, centre=self.centre)
        check_rows(self.settings, statistics, images)
        return self._noted(Tile(images, rows, statistics))

    def _noted(self, tile: Tile) -> Tile:
        where = slice(tile.images[0] - self.images[0], tile.images[1] - self.images[0])
        self.norm[where], self.digest[where] = np.sqrt(tile.statistics.square), tile.statistics.digest
        return tile

    def compare_targets(self) -> None:
        """Compare all targets with those of them that are among the images, some at once."""
        first, last = overlap(self.targets, self.images)
        for start in range(first, last, self.tile_rows):
            own = self._noted(self._among(start, min(start + self.tile_rows, last)))
            if (first, last) == self.targets:
                self._compare_both_ways(own)
            else:
                self._compare_in_threads(self._positions(self.targets), own)

    def _among(self, start: int, stop: int) -> Tile:
        which = self._positions((start, stop))
        return Tile((start, stop), self.rows[which], self.left[which])

    def _positions(self, targets: Range) -> slice:
        return slice(targets[0] - self.targets[0], targets[1] - self.targets[0])

    def _compare_both_ways(self, own: Tile) -> None:
        # Distances are symmetric: the products of some targets with those below them serve both sides.
        which, dtype = self._positions(own.images), self._dtype(own)
        among = symmetric_products(own.rows, centre=self.centre, dtype=dtype, n_threads=self.n_threads)
        self._take_in_threads(which, own, among)
        del among
        for start in range(own.images[1], self.targets[1], self.tile_rows):
            below = self._among(start, min(start + self.tile_rows, self.targets[1]))
            shared = self._compare_in_threads(which, below)
            self._take_in_threads(self._positions(below.images), own, shared.T)

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
        step = max(1, PAIRS_AT_ONCE // product.shape[1])
        for start in range(0, len(product), step):
            stop = min(start + step, len(product))
            self._take_some(slice(which.start + start, which.start + stop), tile, product[start:stop])

    def _take_some(self, which: slice, tile: Tile, product: np.ndarray) -> None:
        sieved = self._sieve(which, tile, product)
        flooded = len(sieved.pairs) > max(64, MAX_CANDIDATE_SHARE * product.size)
        if product.dtype == np.float32 and (flooded or sieved.vague):
            again = products(self.rows[which], tile.rows, centre=self.centre, dtype=np.float64)
            sieved = self._sieve(which, tile, again)
        self._rescore(which, tile, sieved)

    def _sieve(self, which: slice, tile: Tile, product: np.ndarray) -> Selection:
        targets = (self.targets[0] + which.start, self.targets[0] + which.stop)
        return select_candidates(
            product,
            self.left[which],
            tile.statistics,
            bound=error_bound(self.left.n_features, product.dtype, centred=self.centre is not None),
            metric=self.settings.metric,
            n_neighbours=self.settings.n_neighbours,
            limit=self.nearest.limit(self.settings.metric)[which],
            drop_zero=self.settings.drop_zero,
            own=self_columns(targets, tile.images),
            groups=pair_groups(self.categories, targets, tile.images),
        )

    def _rescore(self, which: slice, tile: Tile, sieved: Selection) -> None:
        pairs, metric = sieved.pairs.shifted(which.start, 0), self.settings.metric
        distance = pair_distances(self.rows, tile.rows, pairs.target, pairs.image, metric=metric)
        self.n_rescored.append(len(pairs))
        self.pool_sum[which] += sieved.pool_sum
        self.pool_count[which] += sieved.pool_count
        add_to_pool(self.pool_sum, self.pool_count, pairs.target, distance, drop_zero=self.settings.drop_zero)
        counts = distance > 0 if self.settings.drop_zero else np.ones(len(pairs), dtype=bool)
        self.nearest.update(pairs.target[counts], pairs.image[counts] + tile.images[0], distance[counts])

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
            self.norm,
            self.digest,
            np.sqrt(self.left.square),
            self.left.digest,
            sum(self.n_rescored),
            read_nbytes,
        )
