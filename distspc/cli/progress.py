"""Progress on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from distspc.pipeline.compute import Progress as Report


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Show a bar per piece of work on standard error; plain lines where it is no terminal."""
    if not sys.stderr.isatty():
        yield _PlainLines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar_of: dict[str, Any] = {}

        def note(label: str, n_done: int, n_tasks: int) -> None:
            if label not in bar_of:
                bar_of[label] = bars.add_task(label, total=n_tasks)
            bars.update(bar_of[label], completed=n_done, total=n_tasks)

        yield note


class _PlainLines:
    """A line where work begins, and one where it ends."""

    def __init__(self) -> None:
        self.begun: set[str] = set()

    def __call__(self, label: str, n_done: int, n_tasks: int) -> None:
        if label not in self.begun:
            self.begun.add(label)
            self._line(f"{label}: {n_tasks} tasks")
        if n_done == n_tasks:
            self._line(f"{label}: done")

    def _line(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
