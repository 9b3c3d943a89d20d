"""Tiles of images on their way from the store to threads that each need all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import numpy as np

from distspc.distances.planning.plan import Range, buffer_lengths, tiles_beside
from distspc.distances.reading import Reader, row_memory
from distspc.distances.tile import DistanceTask, Tile
from distspc.kernels.threads import Threads, in_background, single_threaded_blas, thread_parts


class TileConsumer(Protocol):
    """What holds the rows of a task's targets, and compares them with the images that go past."""

    def tile(self, images: Range, rows: np.ndarray) -> Tile:
        """Look at images just read."""

    def compare_targets(self) -> None:
        """Compare all targets with those of them that are among the images."""

    def compare(self, which: slice, tile: Tile) -> None:
        """Compare some targets with a tile of images; threads do so at the same time for other targets."""


class TaskRows:
    """The rows of a task: those of its targets, in memory, and then its images, tile by tile.

    Attributes
    ----------
    targets
        Rows of the targets, float32 (n_targets, n_features).
    n_threads
        Threads to work with; BLAS is on one.
    """

    def __init__(self, task: DistanceTask, targets: np.ndarray, buffers: Sequence[np.ndarray], n_threads: int) -> None:
        self.task, self.n_threads, self._buffers = task, n_threads, buffers
        self._read = Reader(task.options, task.features)
        self.targets = self._read(task.targets, targets)

    @property
    def read_nbytes(self) -> int:
        """Bytes of activations read so far."""
        return self._read.nbytes

    def stream_to(self, consumer: TileConsumer) -> None:
        """Read every tile of images once, while targets are compared with each other and with earlier tiles.

        Every thread has targets of its own, which it takes through all the tiles at its own pace.
        """
        parts = thread_parts(self.task.n_targets, self.n_threads)
        consumers = [partial(consumer.compare, slice(*part)) for part in parts]
        tiles = tiles_beside(self.task.images, self.task.targets, self.task.tile_rows)

        def load(images: Range, buffer: np.ndarray) -> Tile:
            return consumer.tile(images, self._read(images, buffer))

        stream = TileStream(load, tiles, self._buffers, len(consumers))
        with stream.reading():
            consumer.compare_targets()
            stream.broadcast(consumers)


@contextmanager
def task_rows(task: DistanceTask) -> Iterator[TaskRows]:
    """Context in which a task has memory for its rows, with its targets read, and BLAS on one thread."""
    lengths = buffer_lengths(tiles_beside(task.images, task.targets, task.tile_rows))
    with (
        single_threaded_blas(task.options.n_threads) as n_threads,
        row_memory([task.n_targets, *lengths], task.n_features) as (targets, *buffers),
    ):
        yield TaskRows(task, targets, buffers, n_threads)


class TileStream:
    """Tiles that one thread reads ahead into a few buffers for several consumers, each of which gets all in order.

    A consumer that is done with a tile goes on to the next without waiting for the others. Buffers are used in turn:
    new memory for every tile would be cleared by the system page by page, which costs more than reading.

    Parameters
    ----------
    load
        Makes a tile of a range of images; the array it is given is its own until all consumers have released the tile.
    ranges
        Ranges of images.
    buffers
        Arrays for `load`.
    n_consumers
        Number of consumers that `broadcast` will be given.
    """

    def __init__(
        self,
        load: Callable[[Range, np.ndarray], Tile],
        ranges: Sequence[Range],
        buffers: Sequence[np.ndarray],
        n_consumers: int,
    ) -> None:
        self._load, self._ranges, self._n_consumers = load, ranges, n_consumers
        self._free = list(buffers)
        self._held: dict[int, tuple[Tile, np.ndarray]] = {}
        self._n_left: dict[int, int] = {}
        self._changed = threading.Condition()
        self._stopped = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Context in which tiles are read ahead; leaving it stops the reading and raises what went wrong there."""
        with in_background(self._read_all, self.stop):
            yield

    def broadcast(self, consumers: Sequence[Callable[[Tile], None]]) -> None:
        """Give every tile to every consumer, in order, each in a thread of its own; raises what a consumer raises.

        All end early where reading or a consumer fails, a thread cannot be started, or the user interrupts.
        """
        with Threads(len(consumers)) as threads:
            try:
                threads.map(self._consume, consumers)
            except BaseException:
                self.stop()
                raise

    def tiles(self) -> Iterator[Tile]:
        """All tiles in order, for one consumer: asking for the next one releases the last."""
        for i in range(len(self._ranges)):
            with self._changed:
                self._changed.wait_for(lambda i=i: self._stopped or i in self._held)  # type: ignore[misc]
                if self._stopped:
                    return
                tile, _ = self._held[i]
            yield tile
            self._release(i)

    def stop(self) -> None:
        """Read no further; consumers come to an end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _consume(self, consumer: Callable[[Tile], None]) -> None:
        try:
            for tile in self.tiles():
                consumer(tile)
        except BaseException:
            self.stop()
            raise

    def _read_all(self) -> None:
        try:
            for i, images in enumerate(self._ranges):
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped or self._free)
                    if self._stopped:
                        return
                    buffer = self._free.pop()
                tile = self._load(images, buffer)
                with self._changed:
                    self._held[i], self._n_left[i] = (tile, buffer), self._n_consumers
                    self._changed.notify_all()
        except BaseException:
            self.stop()
            raise

    def _release(self, i: int) -> None:
        with self._changed:
            self._n_left[i] -= 1
            if self._n_left[i] == 0:
                del self._n_left[i]
                self._free.append(self._held.pop(i)[1])
                self._changed.notify_all()
