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
        yield _plain_line
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


def _plain_line(label: str, n_done: int, n_tasks: int) -> None:
    if n_done in (0, n_tasks):
        state = f"{n_tasks} tasks" if n_done == 0 else "done"
        sys.stderr.write(f"{label}: {state}\n")
        sys.stderr.flush()
