"""A few threads that share the rows of one matrix, each with single-threaded BLAS.

Two threads with a half of the rows each beat two-threaded BLAS on matrices of some hundred rows: the product itself is
faster, and what stands around it (thresholds, sums) runs in parallel too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")


def allowed_threads() -> int:
    """Number of threads that BLAS may use here: what OPENBLAS_NUM_THREADS, a worker's settings or the cores allow."""
    return max([pool.num_threads for pool in ThreadpoolController().select(user_api="blas").lib_controllers] or [1])


def thread_parts(n: int, n_threads: int) -> list[tuple[int, int]]:
    """Ranges that cover 0..n, as even as can be, at most one a thread: more of them cost a tenth in the products.

    >>> thread_parts(9, 4)
    [(0, 2), (2, 4), (4, 6), (6, 9)]
    """
    count = max(1, min(n_threads, n))
    return [(n * i // count, n * (i + 1) // count) for i in range(count)]


def in_threads(work: Callable[[int, int], None], n: int, n_threads: int) -> None:
    """Call ``work(start, stop)`` for every range of `thread_parts`, each in a thread of its own."""
    parts = thread_parts(n, n_threads)
    if len(parts) == 1:
        return work(*parts[0])
    with ThreadPoolExecutor(len(parts)) as pool:
        for job in [pool.submit(work, *part) for part in parts]:
            job.result()


class Threads:
    """Context: `n` threads of this process (default: as many as BLAS may use), BLAS itself on one thread."""

    def __init__(self, n: int | None = None) -> None:
        self.n = n if n is not None else allowed_threads()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        self._limits: Any = ThreadpoolController().limit(limits=1, user_api="blas")
        self._limits.__enter__()
        if self.n > 1:
            self._pool = ThreadPoolExecutor(self.n - 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._limits.__exit__(kind, error, traceback)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Results of `function` for every item, in order; the calling thread takes a share too."""
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


_blas_lock = threading.Lock()
_blas_users: list[int] = []


@contextmanager
def single_threaded_blas(n_threads: int | None) -> Iterator[int]:
    """Context in which BLAS runs on one thread; gives the number of threads of our own to use instead.

    Threads that each multiply their part of the rows, and do what stands around the products too, beat a BLAS that
    starts threads product by product (and keeps them spinning in between).
    """
    from threadpoolctl import ThreadpoolController

    blas = ThreadpoolController().select(user_api="blas")
    with _blas_lock:
        # What the worker was given on purpose (OMP_NUM_THREADS and its like) is what BLAS came up with. Tasks that
        # run at the same time share it: the first lowers it, the last puts it back.
        _blas_users.append(
            _blas_users[-1] if _blas_users else max([c.num_threads for c in blas.lib_controllers] or [1])
        )
        for library in blas.lib_controllers:
            library.set_num_threads(1)
    try:
        yield n_threads or _blas_users[-1]
    finally:
        with _blas_lock:
            threads = _blas_users.pop()
            if not _blas_users:
                for library in blas.lib_controllers:
                    library.set_num_threads(threads)
