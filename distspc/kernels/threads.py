"""A few threads of this process that share the work on one matrix, each with single-threaded BLAS.

Two threads with a half of the rows each beat two-threaded BLAS on matrices of some hundred rows: the product itself is
faster, and what stands around it (thresholds, sums) runs in parallel too. A BLAS that starts threads product by product
also keeps them spinning in between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import Any, Self, TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")


@cache
def _blas_libraries() -> list[Any]:
    """Controllers of the BLAS libraries of this process, looked up once: a look takes milliseconds."""
    import scipy.linalg  # noqa: F401 - SciPy's BLAS is a library of its own, which must be there to be found

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


_blas_lock = threading.Lock()
_blas_users = 0
_threads_before: list[int] = []
"""Threads of each library before the first of the present users set it to one."""


def allowed_threads() -> int:
    """Number of threads that BLAS may use here: what OPENBLAS_NUM_THREADS, a worker's settings or the cores allow."""
    with _blas_lock:
        return _allowed_threads()


def _allowed_threads() -> int:
    known = _threads_before if _blas_users else [library.num_threads for library in _blas_libraries()]
    return max(known, default=1)


@contextmanager
def single_threaded_blas(n_threads: int | None = None) -> Iterator[int]:
    """Context in which BLAS runs on one thread; gives the number of threads of our own to use instead.

    That is `n_threads`, or as many as BLAS was allowed. Users of this context that run at the same time share it: the
    first sets BLAS to one thread, the last puts back what was there.
    """
    global _blas_users
    with _blas_lock:
        allowed = _allowed_threads()
        if _blas_users == 0:
            _threads_before[:] = [library.num_threads for library in _blas_libraries()]
            for library in _blas_libraries():
                library.set_num_threads(1)
        _blas_users += 1
    try:
        yield n_threads or allowed
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0:
                for library, before in zip(_blas_libraries(), _threads_before, strict=True):
                    library.set_num_threads(before)


def thread_parts(n: int, n_threads: int) -> list[tuple[int, int]]:
    """Ranges that cover 0..n, as even as can be, at most one a thread: more of them cost a tenth in the products.

    >>> thread_parts(9, 4)
    [(0, 2), (2, 4), (4, 6), (6, 9)]
    """
    count = max(1, min(n_threads, n))
    return [(n * i // count, n * (i + 1) // count) for i in range(count)]


class Threads:
    """Context: `n` threads, the calling one among them. What they run is to have BLAS on one (`single_threaded_blas`).

    Parameters
    ----------
    n
        Number of threads, at least 1.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.n > 1:
            self._pool = ThreadPoolExecutor(self.n - 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Results of `function` for every item, in order; up to `n` items, each is in a thread of its own."""
        items = list(items)
        if self._pool is None or len(items) < 2:
            return [function(item) for item in items]
        futures = [self._pool.submit(function, item) for item in items[1:]]
        try:
            first = function(items[0])
        finally:
            results = [future.result() for future in futures]
        return [first, *results]

    def shares(self, n: int) -> Sequence[slice]:
        """Cut ``0..n`` into one slice per thread, as even as can be, none empty unless `n` is 0."""
        return [slice(*part) for part in thread_parts(n, self.n)]


def in_threads(work: Callable[[int, int], None], n: int, n_threads: int) -> None:
    """Call ``work(start, stop)`` for every range of `thread_parts`, each in a thread of its own."""
    parts = thread_parts(n, n_threads)
    with Threads(len(parts)) as threads:
        threads.map(lambda part: work(*part), parts)


@contextmanager
def in_background(work: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Context beside which `work` runs in a thread; leaving it calls `stop`, waits, and raises what `work` raised.

    Where the context itself fails, that is what is raised.
    """
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(work)
        try:
            yield
        finally:
            stop()
        job.result()
