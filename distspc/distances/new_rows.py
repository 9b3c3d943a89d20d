"""Nearest neighbours of images that are not in the store, among those that are: exact, the pool read once, by tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from distspc.distances.options import LayerOptions
from distspc.distances.planning.plan import LayerSize, Range, buffer_lengths, tiles_beside
from distspc.distances.reading import Reader, row_memory
from distspc.distances.tile import DistanceTask, Tile
from distspc.distances.tile_stream import TileStream
from distspc.distances.whole_rows import RowSearch
from distspc.kernels.distance.candidates import scales
from distspc.kernels.distance.rows import RowStatistics, row_statistics
from distspc.kernels.threads import single_threaded_blas, thread_parts

TILE_NBYTES = 256 * 2**20
"""Bytes of a tile of the pool, of which two are in memory."""
FEW_ROWS = 64
"""Rows whose comparison takes less time than a look at the tile."""
_NO_CATEGORY = -2


Progress = Callable[[int, int], None]


def _no_progress(n_done: int, n_tiles: int) -> None:
    """Take no note."""


@dataclass(frozen=True)
class NewNeighbours:
    """The nearest neighbours of some rows.

    Attributes
    ----------
    distance, image
        Float64 and int64 (rows, k), nearest first, ties to the first in pool order; NaN and -1 where there are fewer.
    norm
        Euclidean norm of each row, (rows,).
    """

    distance: np.ndarray
    image: np.ndarray
    norm: np.ndarray


def row_norms(rows: np.ndarray) -> np.ndarray:
    """Euclidean norm of each row (rows, features), as `new_neighbours` gives it."""
    return np.sqrt(row_statistics(rows).norm_sq)


def new_neighbours(
    rows: np.ndarray,
    options: LayerOptions,
    size: LayerSize,
    *,
    positions: np.ndarray,
    categories: np.ndarray | None = None,
    tile_nbytes: int = TILE_NBYTES,
    progress: Progress = _no_progress,
) -> NewNeighbours:
    """Find the nearest neighbours of rows in the pool of a layer.

    Parameters
    ----------
    rows
        Float32 (rows, features), scaled as the options say, C-contiguous; zeros are written to (-0 becomes 0).
    options
        What counts as near, and where the activations are.
    size
        Size of the layer and range of its pool (`distspc.distances.checks.check_distances`).
    positions
        Position in the image table of rows that are images of it, which are no neighbours of themselves; -1 else.
    categories
        Category of each row, where the options ask for one.
    tile_nbytes
        Bytes of the pool that are read at a time.
    progress
        Called with the number of tiles of the pool that have been read, and of all.

    Returns
    -------
    NewNeighbours
        NaN and -1 for rows that cannot be compared: not finite, or for cosine and correlation without variance.

    Raises
    ------
    InputError
        If the activations of an image of the pool cannot be compared.
    """
    usable = _usable(rows, options)
    n, k = len(rows), options.n_neighbours
    found = NewNeighbours(np.full((n, k), np.nan), np.full((n, k), -1), row_norms(rows))
    if usable.any():
        some = rows if usable.all() else np.ascontiguousarray(rows[usable])
        codes = None if categories is None else categories[usable]
        task = DistanceTask(options, (0, len(some)), size.pool, (0, size.n_features), _tile_rows(size, tile_nbytes))
        search = _search(task, some, positions[usable], codes, progress)
        nothing = search.nearest.image < 0
        found.distance[usable] = np.where(nothing, np.nan, search.nearest.distance)
        found.image[usable] = search.nearest.image
    return found


def _usable(rows: np.ndarray, options: LayerOptions) -> np.ndarray:
    """Which rows can be compared."""
    statistics = row_statistics(rows)
    finite = np.isfinite(statistics.norm_sq)
    with np.errstate(invalid="ignore"):
        return finite & (scales(statistics, options.metric) > 0)


def _tile_rows(size: LayerSize, tile_nbytes: int) -> int:
    """Whole chunks of images, of which so many bytes hold as many as there are, at least one."""
    chunks = tile_nbytes // (4 * size.n_features * size.chunk_rows)
    return size.chunk_rows * max(1, min(chunks, 2048 // size.chunk_rows))


def _search(
    task: DistanceTask,
    rows: np.ndarray,
    positions: np.ndarray,
    categories: np.ndarray | None,
    progress: Progress,
) -> _NewRowSearch:
    """Take the rows past all tiles of the pool; every thread has rows of its own."""
    tiles = tiles_beside(task.images, (-1, -1), task.tile_rows)
    with (
        single_threaded_blas(task.options.n_threads) as n_threads,
        row_memory(buffer_lengths(tiles), task.n_features) as buffers,
    ):
        search = _NewRowSearch(task, rows, n_threads, positions, categories)
        read = Reader(task.options, task.features)

        def load(images: Range, buffer: np.ndarray) -> Tile:
            tile = search.tile(images, read(images, buffer))
            progress(tiles.index(images) + 1, len(tiles))
            return tile

        consumers = [partial(search.compare, slice(*part)) for part in thread_parts(len(rows), n_threads)]
        stream = TileStream(load, tiles, buffers, len(consumers))
        with stream.reading():
            stream.broadcast(consumers)
    return search


class _NewRowSearch(RowSearch):
    """A search for rows that are not those of the table's targets."""

    def __init__(
        self,
        task: DistanceTask,
        rows: np.ndarray,
        n_threads: int,
        positions: np.ndarray,
        categories: np.ndarray | None,
    ) -> None:
        super().__init__(task, rows, n_threads)
        self.tile_threads = n_threads if len(rows) <= FEW_ROWS else 1
        self.positions = positions
        self._codes = None if self.categories is None else _codes_of(task.options, self.categories, categories)

    def check_targets(self, statistics: RowStatistics) -> None:
        """They have been looked at."""

    def own_columns(self, which: slice, images: Range) -> np.ndarray:
        """Column of a tile that holds the image itself, where it is one of the table."""
        position = self.positions[which]
        return np.where((position >= images[0]) & (position < images[1]), position - images[0], -1)

    def groups(self, which: slice, images: Range) -> tuple[np.ndarray, np.ndarray] | None:
        """Category codes of some rows and of the images of a tile."""
        if self._codes is None or self.categories is None:
            return None
        return self._codes[which], self.categories[slice(*images)]


def _codes_of(options: LayerOptions, known: np.ndarray, names: np.ndarray | None) -> np.ndarray:
    """Codes of categories as `category_codes` numbers those of the table; -2 for others."""
    if names is None:
        raise ValueError(f"neighbours share the column {options.category}: the rows need a category each")
    code_of = dict(zip(options.store.images.read(str(options.category)).tolist(), known.tolist(), strict=True))
    return np.array([code_of.get(str(name), _NO_CATEGORY) for name in names], dtype=known.dtype)
