"""Run the tasks of a stage on a Dask client, or one after the other in this process, and report progress."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import dask
from dask.callbacks import Callback

from distspc.deployment.profile.shape import worker_threads
from distspc.errors import InputError, WorkerError
from distspc.kernels.threads import allowed_threads
from distspc.schedule import Workers
from distspc.tasks import Refusal

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client, Future


logger = logging.getLogger(__name__)

PartT = TypeVar("PartT", bound=Hashable)

RETRIES = 3
"""Times that a task is computed again where its worker failed; a task that refuses its input is computed once."""
MEMORY_SHARE = 0.6
"""Share of a worker's memory that its tasks may plan with; beyond it Dask begins to spill."""


class Progress(Protocol):
    """Told how far a piece of work is: what it is, how many of its tasks are done, how many there are."""

    def __call__(self, label: str, n_done: int, n_tasks: int) -> None:
        """Take note."""


def no_progress(label: str, n_done: int, n_tasks: int) -> None:
    """Take no note of progress."""


def available_workers(client: Client | None) -> Workers:
    """Workers that a client's tasks are shared among: as many as its cluster is to have, the smallest for all.

    A cluster that follows the work counts with the most workers it may have, one whose jobs wait in a queue with all of
    them. Without a client: this process.
    """
    if client is None:
        return Workers(n_threads=allowed_threads())
    known = _workers(client)
    slots = [worker["nthreads"] for worker in known]
    limits = [worker["memory_limit"] / worker["nthreads"] for worker in known if worker.get("memory_limit")]
    threads = client.run(worker_threads, on_error="ignore") if known else {}
    return Workers(
        n=max(1, sum(slots), _most_workers(client) * min(slots, default=1)),
        n_threads=min((n for n in threads.values() if isinstance(n, int)), default=1),
        task_memory_nbytes=int(MEMORY_SHARE * min(limits)) if limits else None,
    )


def planned_workers(n_workers: int, cores: int, memory_nbytes: int) -> Workers:
    """The same, of a profile whose workers are yet to be started."""
    return Workers(n_workers, cores, int(MEMORY_SHARE * memory_nbytes))


def _most_workers(client: Client) -> int:
    """Workers that the client's cluster will have at most, 0 where it does not say."""
    cluster = client.cluster
    adaptive = getattr(cluster, "_adaptive", None)
    most = len(getattr(cluster, "worker_spec", ())) if adaptive is None else adaptive.maximum
    return int(most) if most and most != math.inf else 0


def compute(
    tasks: Sequence[Delayed],
    client: Client | None,
    *,
    label: str,
    progress: Progress = no_progress,
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
        What the first failing task raised, or refused with, after all others have been cancelled.
    """
    computed = _results({"": tasks}, client, label, progress, stop=True, resource=resource, gather=gather)
    with closing(computed):  # whatever ends it, no task is left running
        results = dict(computed)
    return [results["", i] for i in range(len(tasks))] if gather else []


def compute_parts(
    parts: Mapping[PartT, Sequence[Delayed]], client: Client | None, *, label: str, progress: Progress = no_progress
) -> dict[PartT, InputError]:
    """Compute the tasks of several parts, such as layers; one that refuses its input stops no other.

    Parameters
    ----------
    parts
        Tasks by part, built inside `refusals_as_values`.
    client, label, progress
        As in `compute`.

    Returns
    -------
    dict
        Why parts refused; those that are computed are not in it.

    Raises
    ------
    Exception
        What the first task that failed otherwise raised, after all others have been cancelled.
    """
    refused: dict[PartT, InputError] = {}
    with closing(_results(parts, client, label, progress)) as computed:
        for (part, _), result in computed:
            if isinstance(result, Refusal):
                refused.setdefault(part, result.error)
    return refused


def _results(
    parts: Mapping[PartT, Sequence[Delayed]],
    client: Client | None,
    label: str,
    progress: Progress,
    *,
    stop: bool = False,
    resource: str | None = None,
    gather: bool = False,
) -> Generator[tuple[tuple[PartT, int], Any]]:
    """Results of tasks by part and number, as they come; None for those that stay where they are.

    A refusal is a result, or raised if `stop`; the other tasks of its part are cancelled.
    """
    tasks = {(part, i): task for part, some in parts.items() for i, task in enumerate(some)}
    logger.info("%s: %d tasks", label, len(tasks))
    progress(label, 0, len(tasks))
    if client is None:
        yield from zip(tasks, _compute_here(list(tasks.values()), label, progress, stop=stop), strict=True)
        return
    from distributed import CancelledError, as_completed

    resources = {resource: 1} if resource and _offered(client, resource) else None
    futures = client.compute(list(tasks.values()), retries=RETRIES, resources=resources)
    names = dict(zip((future.key for future in futures), tasks, strict=True))
    stopped: set[PartT] = set()
    try:
        for n_done, future in enumerate(as_completed(futures), start=1):
            name = names[future.key]
            if name[0] not in stopped:
                result = _result(future, gather)
                if isinstance(result, Refusal):
                    if stop:
                        raise result.error
                    stopped.add(name[0])
                    _cancel(client, (other for other in futures if names[other.key][0] == name[0]))
                yield name, result
            progress(label, n_done, len(tasks))
            if not gather:
                future.release()
    except CancelledError as error:
        raise WorkerError(
            f"{label}: {_why_dropped(error)}; what is done stays, run the study again to go on"
        ) from error
    finally:
        _cancel(client, futures)


def _result(future: Future, gather: bool) -> Any:
    """Result of a future that is done, where it is wanted or a refusal; raises what the task raised."""
    wanted = gather or future.status != "finished" or future.type is Refusal
    return future.result() if wanted else None


def _cancel(client: Client, futures: Iterable[Future]) -> None:
    client.cancel([future for future in futures if not future.done()])


def run_on_all_workers(function: Callable[[], Any], client: Client | None) -> None:
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
    return any(resource in w.get("resources", {}) for w in _workers(client))


def _workers(client: Client) -> list[dict[str, Any]]:
    """What the scheduler knows of its workers.

    Raises
    ------
    WorkerError
        If it does not answer any more: a client whose scheduler is lost knows nothing.
    """
    known = client.scheduler_info(n_workers=-1)
    if "workers" not in known:
        raise WorkerError(f"{_why_dropped(ConnectionError('connection-lost'))}; run the study again to go on")
    return list(known["workers"].values())


def _compute_here(tasks: Sequence[Delayed], label: str, progress: Progress, *, stop: bool) -> list[Any]:
    keys = {task.key for task in tasks}
    n_done = 0

    def note(key: Any, result: Any, *_: Any) -> None:
        nonlocal n_done
        if stop and isinstance(result, Refusal):
            raise result.error
        if key in keys:
            n_done += 1
            progress(label, n_done, len(tasks))

    hooks: dict[str, Callable[..., None]] = {"posttask": note}
    with Callback(**hooks):
        return list(dask.compute(*tasks, scheduler="synchronous"))
