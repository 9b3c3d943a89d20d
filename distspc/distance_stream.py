"""Tiles of images on their way from the store to threads that each need all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

import numpy as np

from distspc.distance_plan import Range

Tile = TypeVar("Tile")


class TileStream(Generic[Tile]):
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
        Number of threads that will call `hand_out`.
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

    def hand_out(self, take: Callable[[Tile], None]) -> None:
        """Call `take` with every tile in order; ends early where reading or another taker has failed."""
        try:
            for i in range(len(self._tiles)):
                with self._changed:
                    self._changed.wait_for(lambda i=i: self._stopped or i in self._held)  # type: ignore[misc]
                    if i not in self._held:
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
                self._free.append(self._held.pop(i)[1])
                self._changed.notify_all()
