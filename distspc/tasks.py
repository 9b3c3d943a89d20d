"""Work cut into ranges, and the tasks made of it: their names, what they refuse, the memory that they reuse."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from distspc.errors import DISK_ERRORS, InputError


def ranges(n: int, size: int) -> tuple[tuple[int, int], ...]:
    """Half-open ranges that cover ``0..n`` in steps of `size`; the last may be shorter.

    >>> ranges(5, 2)
    ((0, 2), (2, 4), (4, 5))
    """
    return tuple((start, min(start + size, n)) for start in range(0, n, size))


def task_key(stage: str, layer: str, token: str, *index: int) -> str:
    """Name of a task; the dashboard groups by what stands before the first hyphen.

    >>> task_key("distances", "fc2", "1a2b", 3)
    'distances:fc2-1a2b-0003'
    """
    return "-".join([f"{stage}:{layer}" if layer else stage, token, *(f"{i:04d}" for i in index)])


def tokenize(*parts: Any) -> str:
    """Digest of what makes a task, as `dask.base.tokenize` gives it."""
    from dask.base import tokenize

    return str(tokenize(*parts))


T = TypeVar("T")


class SpareMemory(Generic[T]):
    """Large arrays that a task leaves in its process for the next one of its kind.

    The system clears new memory first, which can take longer than reading what goes there. Tasks of other kinds that
    take much memory call `free_spare_memory` first.
    """

    _pools: ClassVar[list[SpareMemory[Any]]] = []

    def __init__(self) -> None:
        self._kept: list[T] = []
        self._pools.append(self)

    def take(self) -> T | None:
        """What a task has left; None where there is nothing."""
        try:
            return self._kept.pop()
        except IndexError:  # another thread was faster, or there is none
            return None

    def keep(self, memory: T) -> None:
        """Leave memory for the next task."""
        self._kept.append(memory)

    def clear(self) -> None:
        """Give the memory back."""
        self._kept.clear()


def free_spare_memory() -> None:
    """Give back all memory that tasks have left in this process for the next ones, and what glibc keeps of them."""
    for pool in SpareMemory._pools:
        pool.clear()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


@dataclass(frozen=True)
class Refusal:
    """A task's error as its result: Dask computes again what raises, and neither input nor disk would be better then.

    Attributes
    ----------
    error
        What was wrong: with the input, or with the disk (`DISK_ERRORS`).
    """

    error: InputError | OSError

    @property
    def ends_all(self) -> bool:
        """Whether no other task would fare better."""
        return isinstance(self.error, OSError)


_as_values: ContextVar[bool] = ContextVar("refusals_as_values", default=False)


@contextmanager
def refusals_as_values() -> Iterator[None]:
    """Inside this block `task` makes tasks that return a `Refusal` instead of raising, for `compute`."""
    token = _as_values.set(True)
    try:
        yield
    finally:
        _as_values.reset(token)


def task(function: Callable[..., Any], **options: Any) -> Any:
    """Make a function one of Dask's, as `dask.delayed`; what a task refused, those that rest on it refuse too."""
    import dask  # here: what asks and computes nothing need not wait for it

    return dask.delayed(partial(_answer, function) if _as_values.get() else function, pure=False, **options)


def _answer(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    for given in (*arguments, *named.values()):
        for value in given if isinstance(given, list) else [given]:
            if isinstance(value, Refusal):
                return value
    try:
        return function(*arguments, **named)
    except (InputError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in DISK_ERRORS:
            raise
        error.__cause__ = error.__context__ = None  # tracebacks would keep the task's arrays
        return Refusal(error.with_traceback(None))
