"""Tiles read ahead for several threads."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from distspc.distances.tile import Tile
from distspc.distances.tile_stream import TileStream
from distspc.kernels.distance.rows import row_statistics

TILES = [(2 * i, 2 * i + 2) for i in range(9)]
TIMEOUT_S = 30


def load(images: tuple[int, int], buffer: np.ndarray) -> Tile:
    buffer[:] = images[0]
    return Tile(images, buffer, row_statistics(buffer))


def run(stream: TileStream, consumers: list) -> None:
    """Take all tiles in a thread that the test can give up, should it never end."""
    with ThreadPoolExecutor(1) as pool:

        def whole():
            with stream.reading():
                stream.broadcast(consumers)

        pool.submit(whole).result(TIMEOUT_S)


def buffers(n: int) -> list[np.ndarray]:
    return [np.zeros((2, 4), np.float32) for _ in range(n)]


@pytest.mark.parametrize("n_buffers", [1, 2, 20])
@pytest.mark.parametrize("n_consumers", [1, 3])
def test_every_consumer_gets_every_tile_in_order_and_whole(n_buffers, n_consumers):
    seen = [[] for _ in range(n_consumers)]

    def consumer(i):
        def consume(tile):
            time.sleep(0.002 * ((tile.images[0] + i) % 3))  # now one, now another is the slower
            assert (tile.rows == tile.images[0]).all(), "the buffer was filled again before everyone was done"
            seen[i].append(tile.images)

        return consume

    run(TileStream(load, TILES, buffers(n_buffers), n_consumers), [consumer(i) for i in range(n_consumers)])
    assert seen == [TILES] * n_consumers


def test_no_more_is_read_than_there_are_buffers():
    n_read, first = [], threading.Event()

    def counting(images, buffer):
        n_read.append(images)
        return load(images, buffer)

    def slow(tile):
        if not first.is_set():
            time.sleep(0.1)
            assert len(n_read) == 2
            first.set()

    run(TileStream(counting, TILES, buffers(2), 1), [slow])
    assert n_read == TILES


def test_an_error_of_reading_ends_all_and_is_raised():
    def broken(images, buffer):
        if images[0] == 6:
            raise OSError("disk gone")
        return load(images, buffer)

    seen = []
    with pytest.raises(OSError, match="disk gone"):
        run(TileStream(broken, TILES, buffers(2), 2), [seen.append, lambda _: None])
    assert len(seen) <= 3


def test_an_error_of_one_consumer_ends_the_others():
    def failing(tile):
        if tile.images[0] == 4:
            raise ValueError("no")

    seen = []
    for consumers in ([failing, seen.append], [seen.append, failing]):
        seen.clear()
        with pytest.raises(ValueError, match="no"):
            run(TileStream(load, TILES, buffers(2), 2), consumers)
        assert len(seen) < len(TILES)


def test_a_thread_that_cannot_be_started_ends_all(monkeypatch):
    start, n_started = threading.Thread.start, []

    def limited(thread):
        n_started.append(thread)
        if len(n_started) == 4:  # this test's own, the reader's and one consumer's are there
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run(TileStream(load, TILES, buffers(2), 3), [lambda _: time.sleep(0.01)] * 3)


def test_an_interrupt_ends_all_at_the_next_tile():
    script = """
import os, signal, sys, threading, time
import numpy as np
from distspc.distances.tile_stream import TileStream
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & ignores Ctrl-C
stream = TileStream(lambda images, buffer: images, [(i, i + 1) for i in range(1000)], [np.zeros(1)] * 2, 2)
threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT]).start()
seen = []
try:
    with stream.reading():
        stream.broadcast([lambda tile: (seen.append(tile), time.sleep(0.1))] * 2)
except KeyboardInterrupt:
    sys.exit(0 if len(seen) < 1000 else 3)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=90).returncode == 0


def test_without_tiles_there_is_nothing_to_do():
    run(TileStream(load, [], [], 1), [pytest.fail])
