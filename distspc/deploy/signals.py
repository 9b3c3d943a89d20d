"""Ctrl-C and SIGTERM around a cluster: both end the block, neither interrupts the cleaning up."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _exit(signum: int, _: Any) -> None:
    raise SystemExit(128 + signum)


@contextmanager
def terminate_like_interrupt() -> Iterator[None]:
    """Inside this block SIGTERM unwinds the stack as Ctrl-C does, unless somebody handles it already."""
    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def shielded(what: str) -> Iterator[None]:
    """Inside this block SIGINT and SIGTERM wait: a second Ctrl-C must not leave jobs in the queue."""
    if not _in_main_thread():
        yield
        return
    caught: list[int] = []

    def note(signum: int, _: Any) -> None:
        caught.append(signum)
        logger.warning("%s; a moment, please", what)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put the handler of SIGINT back: importing dask_jobqueue replaces it with a silent exit."""
    if not _in_main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
