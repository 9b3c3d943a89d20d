"""Threads that share the rows of a matrix."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distspc.kernels.threads import Threads, in_threads, thread_parts


@given(n=st.integers(0, 50), n_threads=st.integers(1, 20))
def test_parts_cover_everything_once_and_evenly(n: int, n_threads: int) -> None:
    parts = thread_parts(n, n_threads)
    assert [i for start, stop in parts for i in range(start, stop)] == list(range(n))
    assert len(parts) == max(1, min(n, n_threads))
    lengths = [stop - start for start, stop in parts]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("n_threads", [1, 3])
def test_each_part_has_a_thread_and_errors_are_raised(n_threads: int) -> None:
    seen = {}
    together = threading.Barrier(n_threads, timeout=20)

    def work(start: int, stop: int) -> None:
        together.wait()  # all at the same time, or the barrier breaks
        seen[threading.get_ident()] = stop - start
        if stop == 7:
            raise ValueError("the last part")

    with pytest.raises(ValueError, match="the last part"):
        in_threads(work, 7, n_threads)
    assert sorted(seen.values()) == {1: [7], 3: [2, 2, 3]}[n_threads]


def test_shares_are_the_parts() -> None:
    with Threads(2) as threads:
        assert threads.map(lambda part: (part.start, part.stop), threads.shares(5)) == [(0, 2), (2, 5)]
