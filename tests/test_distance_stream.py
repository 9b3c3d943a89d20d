"""The pass over images: tiles read ahead for several threads, memory that serves the next task."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from distspc.distance_stream import Tile, TileStream
from distspc.distance_tasks import release, row_memory
from distspc.kernels.rows import row_statistics

TILES = [(2 * i, 2 * i + 2) for i in range(9)]
TIMEOUT_S = 30


def load(images: tuple[int, int], buffer: np.ndarray) -> Tile:
    buffer[:] = images[0]
    return Tile(images, buffer, row_statistics(buffer))


def run(stream: TileStream, takers: list) -> list[BaseException | None]:
    """What each taker's thread ended with; the test fails if one does not end."""
    with ThreadPoolExecutor(len(takers)) as pool, stream.reading():
        jobs = [pool.submit(stream.hand_out, take) for take in takers]
        return [job.exception(TIMEOUT_S) for job in jobs]


def buffers(n: int) -> list[np.ndarray]:
    return [np.zeros((2, 4), np.float32) for _ in range(n)]


@pytest.mark.parametrize("n_buffers", [1, 2, 20])
@pytest.mark.parametrize("n_takers", [1, 3])
def test_every_taker_gets_every_tile_in_order_and_whole(n_buffers, n_takers):
    seen = [[] for _ in range(n_takers)]

    def taker(i):
        def take(tile):
            time.sleep(0.002 * ((tile.images[0] + i) % 3))  # now one, now another is the slower
            assert (tile.rows == tile.images[0]).all(), "the buffer was filled again before everyone was done"
            seen[i].append(tile.images)

        return take

    ended = run(TileStream(load, TILES, buffers(n_buffers), n_takers), [taker(i) for i in range(n_takers)])
    assert ended == [None] * n_takers
    assert seen == [TILES] * n_takers


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

    assert run(TileStream(counting, TILES, buffers(2), 1), [slow]) == [None]
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


def test_an_error_of_one_taker_ends_the_others():
    def failing(tile):
        if tile.images[0] == 4:
            raise ValueError("no")

    seen = []
    ended = run(TileStream(load, TILES, buffers(2), 2), [failing, seen.append])
    assert isinstance(ended[0], ValueError)
    assert ended[1] is None
    assert len(seen) < len(TILES)


def test_without_tiles_there_is_nothing_to_do():
    assert run(TileStream(load, [], [], 1), [pytest.fail]) == [None]


# ---------------------------------------------------------------- memory


def address(rows: np.ndarray) -> int:
    return rows.__array_interface__["data"][0]


def test_memory_serves_the_next_task_where_it_fits():
    release()
    with row_memory([5, 2, 2], 8) as (rows, *others):
        assert [part.shape for part in (rows, *others)] == [(5, 8), (2, 8), (2, 8)]
        assert {part.dtype for part in (rows, *others)} == {np.dtype("float32")}
        where = address(rows)
    with row_memory([8], 8) as (again,):
        assert address(again) == where
        with row_memory([8], 8) as (beside,):  # a task at the same time
            assert not np.shares_memory(again, beside)
    release()


def test_memory_that_is_too_large_or_too_small_is_let_go():
    release()
    with row_memory([100], 8) as (large,):
        whole = large.base
    del large
    for n in (10, 200):
        with row_memory([n], 8) as (rows,):
            assert rows.shape == (n, 8)
            assert not np.shares_memory(rows, whole)
    release()
