"""Threads that share the rows of a matrix."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import ThreadpoolController, threadpool_limits

from distspc.kernels.threads import (
    Threads,
    allowed_threads,
    in_background,
    in_threads,
    single_threaded_blas,
    thread_parts,
)


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


def test_results_come_in_order_and_the_caller_takes_a_share() -> None:
    with Threads(3) as threads:
        found = threads.map(lambda i: (i, threading.get_ident()), range(3))
    assert [i for i, _ in found] == [0, 1, 2]
    assert found[0][1] == threading.get_ident()


def blas_threads() -> list[int]:
    return [pool.num_threads for pool in ThreadpoolController().select(user_api="blas").lib_controllers]


def test_blas_is_on_one_thread_until_its_last_user_leaves() -> None:
    assert allowed_threads() >= 1  # by now all libraries are loaded
    with threadpool_limits(2, "blas"):
        before = blas_threads()
        with single_threaded_blas() as n_threads:
            assert set(blas_threads()) == {1}
            assert n_threads == allowed_threads() == max(before)
            with single_threaded_blas(7) as asked:
                assert asked == 7
            with single_threaded_blas() as inner:
                assert inner == n_threads  # what was allowed, not what the first user made of it
            assert set(blas_threads()) == {1}
        assert blas_threads() == before


def test_blas_is_put_back_after_an_error() -> None:
    before = blas_threads()
    with pytest.raises(ValueError, match="no"), single_threaded_blas(2):
        raise ValueError("no")
    assert blas_threads() == before


def test_an_error_in_the_background_is_raised_at_the_end() -> None:
    def work() -> None:
        raise ValueError("behind")

    with pytest.raises(ValueError, match="behind"), in_background(work, lambda: None):
        pass
    with pytest.raises(KeyError), in_background(work, lambda: None):
        raise KeyError  # the context's own error comes first


def test_work_in_the_background_is_stopped_when_the_context_ends() -> None:
    stopped, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert stopped.wait(20)

    with in_background(work, stopped.set):
        assert begun.wait(20)
    assert stopped.is_set()
