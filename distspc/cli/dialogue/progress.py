"""Progress on standard error and in the log file: how much is done, at what rate, and how long it will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from distspc.cli.dialogue import speech
from distspc.messages import counted, format_duration

if TYPE_CHECKING:
    from distspc.pipeline.compute import Progress as Report

EVERY_S = 60.0
"""Seconds between two lines about the same work where there is no terminal."""


@dataclass
class Pace:
    """How fast a piece of work goes, from its begin to now.

    Attributes
    ----------
    n_tasks, n_done
        Tasks there are, and those that are done.
    begun_s
        When the first was sent.
    """

    n_tasks: int
    begun_s: float
    n_done: int = 0

    def left_s(self, now_s: float) -> float | None:
        """Seconds until it is done, if it goes on as before; None before the first task is done."""
        if not self.n_done:
            return None
        return (self.n_tasks - self.n_done) * (now_s - self.begun_s) / self.n_done

    def rate(self, now_s: float) -> str:
        """Tasks per second, minute or hour, whichever is the first with at least one; nothing before one is done.

        >>> Pace(40, begun_s=0.0, n_done=3).rate(60.0)
        '3.0 tasks/min'
        """
        if not self.n_done or now_s <= self.begun_s:
            return ""
        per_s = self.n_done / (now_s - self.begun_s)
        unit, n = next(((u, n) for u, n in (("s", 1), ("min", 60)) if per_s * n >= 1), ("h", 3600))
        return f"{per_s * n:.1f} tasks/{unit}"

    def words(self, now_s: float) -> str:
        """How far it is, its rate and the time left."""
        left, rate = self.left_s(now_s), self.rate(now_s)
        parts = [
            counted(self.n_done, "task", of=self.n_tasks),
            rate,
            "" if left is None else f"about {format_duration(left)} left",
        ]
        return ", ".join(filter(None, parts))


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Show a bar per piece of work on standard error, or a line a minute where it is no terminal; and log lines."""
    with ExitStack() as stack:
        reports: list[Report] = []
        if not speech.is_quiet():
            bars = sys.stderr.isatty()
            reports.append(stack.enter_context(_bars() if bars else lines(_to_stderr)))
        if speech.is_logged():
            reports.append(stack.enter_context(lines(speech.log)))

        def note(label: str, n_done: int, n_tasks: int) -> None:
            for report in reports:
                report(label, n_done, n_tasks)

        yield note


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def _bars() -> Iterator[Report]:
    """A bar per piece of work, with its rate and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[pace]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar_of: dict[str, Any] = {}
        paces: dict[str, Pace] = {}

        def note(label: str, n_done: int, n_tasks: int) -> None:
            if label not in bar_of:
                bar_of[label] = bars.add_task(label, total=n_tasks, pace="")
            pace = paces.setdefault(label, Pace(n_tasks, time.monotonic()))
            pace.n_done, pace.n_tasks = n_done, n_tasks
            now_s = time.monotonic()
            left = pace.left_s(now_s) if n_done < n_tasks else None
            shown = [pace.rate(now_s), f"{format_duration(left)} left" if left is not None else ""]
            bars.update(bar_of[label], completed=n_done, total=n_tasks, pace=", ".join(filter(None, shown)))

        yield note


@contextmanager
def lines(write: Callable[[str], None], *, every_s: float = EVERY_S) -> Iterator[Lines]:
    """Write a line where work begins, one where it ends, and one a minute in between, also while a task takes long."""
    report, stop = Lines(write), Event()

    def keep_saying() -> None:
        while not stop.wait(every_s):
            report.tick()

    thread = Thread(target=keep_saying, name="progress", daemon=True)
    thread.start()
    try:
        yield report
    finally:
        stop.set()
        thread.join()


class Lines:
    """Progress as lines of text; `tick` says how far all is that has begun and is not done."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._paces: dict[str, Pace] = {}
        self._lock = Lock()

    def __call__(self, label: str, n_done: int, n_tasks: int) -> None:
        """Take note of how far a piece of work is."""
        with self._lock:
            now_s = self._clock()
            if label not in self._paces:
                self._paces[label] = Pace(n_tasks, now_s)
                self._write(f"{label}: {counted(n_tasks, 'task')}")
            pace = self._paces[label]
            was_done = pace.n_done >= pace.n_tasks
            pace.n_done, pace.n_tasks = n_done, n_tasks
            if n_done >= n_tasks and not was_done:
                self._write(f"{label}: done in {format_duration(now_s - pace.begun_s)}")

    def tick(self) -> None:
        """Say how far each piece of work is that is not done."""
        with self._lock:
            now_s = self._clock()
            for label, pace in self._paces.items():
                if pace.n_done < pace.n_tasks:
                    self._write(f"{label}: {pace.words(now_s)}")
