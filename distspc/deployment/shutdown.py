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
    """Inside this block SIGTERM and SIGHUP unwind the stack as Ctrl-C does, unless somebody handles them already."""
    names = (signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGHUP") else (signal.SIGTERM,)
    ours = [number for number in names if _in_main_thread() and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def defer_signals(what: str) -> Iterator[None]:
    """Inside this block SIGINT and SIGTERM wait: a second Ctrl-C must not leave jobs in the queue."""
    if not _in_main_thread():
        yield
        return
    caught: list[int] = []

    def defer(signum: int, _: Any) -> None:
        caught.append(signum)
        logger.warning("%s; please wait", what)

    before = {number: signal.signal(number, defer) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt


@contextmanager
def preserve_signal_handlers() -> Iterator[None]:
    """Leave SIGINT's handler as it is: importing dask_jobqueue replaces it by a silent exit, or fails in a thread."""
    set_handler, importing = signal.signal, threading.get_ident()
    if _in_main_thread():
        before = signal.getsignal(signal.SIGINT)
        try:
            yield
        finally:
            if before is not None:  # None: set by something other than Python
                set_handler(signal.SIGINT, before)
        return

    def elsewhere(number: int, handler: Any) -> Any:
        # Only the main thread may set handlers; what it sets meanwhile is set.
        return signal.SIG_DFL if threading.get_ident() == importing else set_handler(number, handler)

    signal.signal = elsewhere  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = set_handler


@contextmanager
def cluster_closed(cluster: Any, timeout_s: float) -> Iterator[None]:
    """Close a cluster at the end of the block, whatever comes, within some seconds."""
    try:
        yield
    finally:
        # Results are stored by now: a worker slow to unload TensorFlow may be ended by force without a message.
        nanny = logging.getLogger("distributed.nanny")
        level = nanny.level
        nanny.setLevel(logging.ERROR)
        try:
            with defer_signals("ending the workers"):
                cluster.close(timeout=timeout_s)
        finally:
            nanny.setLevel(level)
