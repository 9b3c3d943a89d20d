"""One pass over a range of images: their tiles on the way from the store to threads that each need all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from distspc.distances.options import DistanceOptions
from distspc.distances.plan import Range, buffer_lengths, tiles_beside
from distspc.distances.reading import Reader, row_memory
from distspc.distances.tile import Tile
from distspc.kernels.threads import single_threaded_blas, thread_parts

Result_co = TypeVar("Result_co", covariant=True)


class TileConsumer(Protocol[Result_co]):
    """What is done with the targets' rows, which it holds, and the tiles of images that go past them."""

    def tile(self, images: Range, rows: np.ndarray) -> Tile:
        """Look at images just read."""

    def compare_targets(self) -> None:
        """Compare all targets with those of them that are among the images."""

    def compare(self, which: slice, tile: Tile) -> None:
        """Compare some targets with a tile of images; threads do so at the same time for other targets."""

    def result(self, read_nbytes: int) -> Result_co:
        """What is left when all tiles are in."""


def pass_over(
    settings: DistanceOptions,
    targets: Range,
    images: Range,
    features: Range,
    tile_rows: int,
    begin: Callable[[np.ndarray, int], TileConsumer[Result_co]],
) -> Result_co:
    """Read the targets, then every tile of images once, while targets are compared with each other and earlier tiles.

    Every thread has targets of its own, which it takes through all the tiles at its own pace.

    Parameters
    ----------
    settings, targets, images, features, tile_rows
        What to read, and how many images at once.
    begin
        Given the targets' rows and the number of threads.
    """
    tiles = tiles_beside(images, targets, tile_rows)
    n_targets, lengths = targets[1] - targets[0], buffer_lengths(tiles)
    with (
        single_threaded_blas(settings.n_threads) as n_threads,
        row_memory([n_targets, *lengths], features[1] - features[0]) as (rows, *buffers),
    ):
        read = Reader(settings, features)
        state = begin(read(targets, rows), n_threads)
        takers = [partial(state.compare, slice(*part)) for part in thread_parts(n_targets, n_threads)]
        stream = TileStream(lambda tile, buffer: state.tile(tile, read(tile, buffer)), tiles, buffers, len(takers))
        with stream.reading():
            state.compare_targets()
            stream.hand_out(takers)
        return state.result(read.nbytes)


class TileStream:
    """Tiles that one thread reads ahead into a few buffers for several takers, each of which gets every tile in order.

    A taker that is done with a tile goes on to the next without waiting for the others. Buffers are used in turn: new
    memory for every tile would be cleared by the system page by page, which costs more than reading.

    Parameters
    ----------
    load
        Makes a tile of a range of images; the array it is given is its own until all takers are done with the tile.
    tiles
        Ranges of images.
    buffers
        Arrays for `load`.
    n_takers
        Number of takers that `hand_out` will be given.
    """

    def __init__(
        self,
        load: Callable[[Range, np.ndarray], Tile],
        tiles: Sequence[Range],
        buffers: Sequence[np.ndarray],
        n_takers: int,
    ) -> None:
        self._load, self._tiles, self._n_takers = load, tiles, n_takers
        self._free = list(buffers)
        self._held: dict[int, tuple[Tile, np.ndarray]] = {}
        self._n_left: dict[int, int] = {}
        self._changed = threading.Condition()
        self._stopped = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Context in which tiles are read ahead; leaving it stops the reading and raises what went wrong there."""
        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(self._read_all)
            try:
                yield
            finally:
                self.stop()
            job.result()

    def hand_out(self, takers: Sequence[Callable[[Tile], None]]) -> None:
        """Call every taker with every tile in order, each in a thread of its own; raises what the first one raises.

        All end early where reading or a taker fails, a thread cannot be started, or the user interrupts.
        """
        with ThreadPoolExecutor(len(takers)) as pool:
            try:
                for job in [pool.submit(self._give_all, take) for take in takers]:
                    job.result()
            except BaseException:
                self.stop()
                raise

    def _give_all(self, take: Callable[[Tile], None]) -> None:
        try:
            for i in range(len(self._tiles)):
                with self._changed:
                    self._changed.wait_for(lambda i=i: self._stopped or i in self._held)  # type: ignore[misc]
                    if self._stopped:
                        return
                    tile, _ = self._held[i]
                take(tile)
                self._give_back(i)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Read no further; takers come to an end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _read_all(self) -> None:
        try:
            for i, images in enumerate(self._tiles):
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped or self._free)
                    if self._stopped:
                        return
                    buffer = self._free.pop()
                tile = self._load(images, buffer)
                with self._changed:
                    self._held[i], self._n_left[i] = (tile, buffer), self._n_takers
                    self._changed.notify_all()
        except BaseException:
            self.stop()
            raise

    def _give_back(self, i: int) -> None:
        with self._changed:
            self._n_left[i] -= 1
            if self._n_left[i] == 0:
                del self._n_left[i]
                self._free.append(self._held.pop(i)[1])
                self._changed.notify_all()
