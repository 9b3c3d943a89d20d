"""Run the tasks of a stage on a Dask client, or one after the other in this process, and report progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import dask
from dask.callbacks import Callback

from distspc.errors import WorkerError

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client

logger = logging.getLogger(__name__)

RETRIES = 3
MEMORY_SHARE = 0.6
"""Share of a worker's memory that its tasks may plan with; beyond it Dask begins to spill."""


class Progress(Protocol):
    """Told how far a piece of work is: what it is, how many of its tasks are done, how many there are."""

    def __call__(self, label: str, n_done: int, n_tasks: int) -> None:
        """Take note."""


def silent(label: str, n_done: int, n_tasks: int) -> None:
    """Take no note of progress."""


def task_memory(client: Client | None) -> int | None:
    """Bytes that one task may plan with: the smallest worker's share for one of its threads; None if unknown."""
    if client is None:
        return None
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [w["memory_limit"] / w["nthreads"] for w in workers if w.get("memory_limit")]
    return int(MEMORY_SHARE * min(limits)) if limits else None


def compute(
    tasks: Sequence[Delayed],
    client: Client | None,
    *,
    label: str,
    progress: Progress = silent,
    resource: str | None = None,
    gather: bool = False,
) -> list[Any]:
    """Compute delayed tasks; what they make is in the store.

    Parameters
    ----------
    tasks
        What a stage built.
    client
        A Dask client, or None for this process alone.
    label
        Name of the work in progress reports.
    progress
        Called at the start and after every task.
    resource
        Worker resource such as ``GPU`` that every task needs, used where the workers offer it.
    gather
        Return the tasks' (small) results in order; otherwise they stay where they are and are let go at once.

    Raises
    ------
    Exception
        What the first failing task raised, after all others have been cancelled.
    """
    logger.info("%s: %d tasks", label, len(tasks))
    progress(label, 0, len(tasks))
    if client is None:
        results = _compute_here(tasks, label, progress)
        return results if gather else []
    from distributed import CancelledError, as_completed

    resources = {resource: 1} if resource and _offered(client, resource) else None
    futures = client.compute(list(tasks), retries=RETRIES, resources=resources)
    try:
        for n_done, future in enumerate(as_completed(futures), start=1):
            if future.status != "finished":
                future.result()
            progress(label, n_done, len(tasks))
            if not gather:
                future.release()
        return client.gather(futures) if gather else []
    except CancelledError as error:
        raise WorkerError(
            f"{label}: {_why_dropped(error)}; what is done stays, run the study again to go on"
        ) from error
    finally:
        client.cancel([future for future in futures if not future.done()])


def run_everywhere(function: Callable[[], Any], client: Client | None) -> None:
    """Call a function on every worker there is, or here without a client; a worker that is lost is let be."""
    if client is None:
        function()
    else:
        client.run(function, on_error="ignore")


def _why_dropped(error: BaseException) -> str:
    said = " ".join(str(error).split())
    if "connection-lost" in said:
        return "the connection to the scheduler is lost (it died, or the network did)"
    return f"the scheduler dropped the work ({said})"


def _offered(client: Client, resource: str) -> bool:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return any(resource in w.get("resources", {}) for w in workers)


def _compute_here(tasks: Sequence[Delayed], label: str, progress: Progress) -> list[Any]:
    keys = {task.key for task in tasks}
    n_done = 0

    def note(key: Any, *_: Any) -> None:
        nonlocal n_done
        if key in keys:
            n_done += 1
            progress(label, n_done, len(tasks))

    hooks: dict[str, Callable[..., None]] = {"posttask": note}
    with Callback(**hooks):
        return list(dask.compute(*tasks, scheduler="synchronous"))
