"""Run the tasks of a stage on a Dask client, or one after the other in this process, and report progress."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from distspc.deployment.profile.shape import worker_threads
from distspc.errors import InputError, WorkerError
from distspc.kernels.threads import allowed_threads
from distspc.messages import counted
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
    them; where none is there yet, each has what the profile gives it. Without a client: this process.
    """
    if client is None:
        return Workers(n_threads=allowed_threads())
    known, shape = _workers(client), getattr(client.cluster, "distspc_shape", None)
    if not known and shape is not None:
        return planned_workers(max(1, _most_workers(client)), shape.cores, shape.memory_nbytes)
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
    work = _Work([Part("", tasks, label)], progress)
    computed = _results(work, client, stop=True, resource=resource, gather=gather)
    with closing(computed):  # whatever ends it, no task is left running
        results = dict(computed)
    return [results[task.key] for task in tasks] if gather else []


@dataclass(frozen=True)
class Part(Generic[PartT]):
    """Tasks that are computed whole or not at all, such as those of a layer.

    Attributes
    ----------
    name
        What it is called in results.
    tasks
        Its tasks, built inside `refusals_as_values`.
    label
        Name of the work in progress reports; parts may share it.
    priority
        Of all tasks that could begin, those of higher priority do.
    opens
        Whether its first tasks, which need no others, are done before parts without this begin. A worker ends a task
        that it has begun, so that short tasks sent beside long ones can wait for these, and what rests on them too.
    """

    name: PartT
    tasks: Sequence[Delayed]
    label: str
    priority: int = 0
    opens: bool = False


class Then(Protocol[PartT]):
    """Takes the end of a part; gives those that can be computed now."""

    def __call__(self, name: PartT, error: InputError | None) -> Sequence[Part[PartT]]:
        """Take note."""


def _nothing(name: Hashable, error: InputError | None) -> Sequence[Part[Any]]:
    return ()


def _none_to_come(label: str) -> int:
    return 0


def compute_parts(
    parts: Sequence[Part[PartT]],
    client: Client | None,
    *,
    progress: Progress = no_progress,
    then: Then[PartT] = _nothing,
    n_to_come: Callable[[str], int] = _none_to_come,
) -> dict[PartT, InputError]:
    """Compute parts side by side; one that refuses its input stops no other.

    Parameters
    ----------
    parts
        The parts.
    client, progress
        As in `compute`.
    then
        Called with the name of every part that is done, or has refused, and its error; gives parts that can follow.
    n_to_come
        How many tasks at least are still to come under a label by `then`.

    Returns
    -------
    dict
        Why parts refused; those that are computed are not in it.

    Raises
    ------
    Exception
        What the first task that failed otherwise raised, after all others have been cancelled.
    """
    work = _Work(parts, progress, then, n_to_come)
    with closing(_results(work, client)) as computed:
        for _ in computed:
            pass
    return work.refused


class _Work(Generic[PartT]):
    """How far parts are: their tasks by key, what refused, what comes next."""

    def __init__(
        self,
        parts: Sequence[Part[PartT]],
        progress: Progress,
        then: Then[PartT] = _nothing,
        n_to_come: Callable[[str], int] = _none_to_come,
    ) -> None:
        self.refused: dict[PartT, InputError] = {}
        self._waiting = list(parts)
        self._progress, self._then, self._n_to_come = progress, then, n_to_come
        self._left: dict[PartT, set[Hashable]] = {}
        self._first: set[Hashable] = set()
        self._parts: dict[Hashable, Part[PartT]] = {}
        self._n_done: Counter[str] = Counter()
        self._n_tasks: Counter[str] = Counter()

    def start(self) -> list[Part[PartT]]:
        """Take the parts that wait: those that open first, and no others before what they open with is done."""
        waiting, opening = self._waiting, [part for part in self._waiting if part.opens]
        held = [part for part in waiting if not part.opens] if opening or self._first else []
        parts, self._waiting = opening if held else waiting, held
        for part in parts:
            self._left[part.name] = {task.key for task in part.tasks}
            self._parts |= dict.fromkeys(self._left[part.name], part)
            self._n_tasks[part.label] += len(part.tasks)
        for label in dict.fromkeys(part.label for part in parts):
            logger.info("%s: %s", label, counted(self._n_tasks[label], "task"))
            self._report(label)
        return parts

    def open_with(self, keys: Iterable[Hashable]) -> None:
        """Hold back parts until some tasks are done."""
        self._first.update(keys)

    def opened(self, keys: Iterable[Hashable]) -> None:
        """Take note that these are done, however they ended."""
        self._first.difference_update(keys)

    def part_of(self, key: Hashable) -> Part[PartT]:
        """The part of a task."""
        return self._parts[key]

    def __contains__(self, key: Hashable) -> bool:
        return key in self._parts

    def count(self, key: Hashable) -> None:
        """Count a task that is done."""
        label = self._parts[key].label
        self._n_done[label] += 1
        self._report(label)

    def settle(self, key: Hashable, result: Any) -> None:
        """Take the result of a task; the last of a part brings those that follow."""
        part = self._parts[key]
        if part.name in self.refused:
            return
        self._left[part.name].discard(key)
        if isinstance(result, Refusal) and isinstance(result.error, InputError):
            self.refused[part.name] = result.error
            self._waiting += self._then(part.name, result.error)
        elif not self._left[part.name]:
            self._waiting += self._then(part.name, None)

    def _report(self, label: str) -> None:
        self._progress(label, self._n_done[label], self._n_tasks[label] + self._n_to_come(label))


def _results(
    work: _Work[PartT],
    client: Client | None,
    *,
    stop: bool = False,
    resource: str | None = None,
    gather: bool = False,
) -> Generator[tuple[Hashable, Any]]:
    """Results of tasks by key, as they come; None for those that stay where they are.

    A refusal is a result, or raised if `stop`; the other tasks of its part are cancelled.
    """
    if client is None:
        yield from _results_here(work, stop=stop)
        return
    from distributed import CancelledError, as_completed

    resources = {resource: 1} if resource and _offered(client, resource) else None
    futures: list[Future] = []
    completed, label = as_completed(), ""
    try:
        _submit(work, client, futures, completed, resources)
        for future in completed:
            if future.key not in work:
                work.opened([future.key])
                future.release()
                _submit(work, client, futures, completed, resources)
                continue
            part = work.part_of(future.key)
            label = part.label
            if part.name not in work.refused:
                result = _result(future, gather)
                if isinstance(result, Refusal) and (stop or result.ends_all):
                    raise result.error
                work.settle(future.key, result)
                if isinstance(result, Refusal):
                    _cancel(client, (f for f in futures if f.key in work and work.part_of(f.key) is part))
                yield future.key, result
            work.count(future.key)
            if not gather:
                future.release()
            _submit(work, client, futures, completed, resources)
    except CancelledError as error:
        raise WorkerError(
            f"{label}: {_why_dropped(error)}; what is done stays, run the study again to continue"
        ) from error
    finally:
        _cancel(client, futures)
        for future in futures:  # a traceback may keep them, and with them an error that a second run would meet again
            future.release()


def _submit(
    work: _Work[PartT], client: Client, futures: list[Future], completed: Any, resources: Mapping[str, int] | None
) -> None:
    """Send the parts that wait; those of one priority in one graph, whose tasks may rest on the same others."""
    parts = sorted(work.start(), key=lambda part: -part.priority)
    for priority, group in groupby(parts, key=lambda part: part.priority):
        some = list(group)
        tasks = [task for part in some for task in part.tasks]
        first = first_tasks(task for part in some for task in part.tasks if part.opens)
        work.open_with(task.key for task in first)
        sent = client.compute([*tasks, *first], retries=RETRIES, resources=resources, priority=priority)
        futures += sent
        completed.update(sent)


def first_tasks(tasks: Iterable[Delayed]) -> list[Delayed]:
    """Of all that some tasks need, the tasks that need nothing themselves; none of the tasks given.

    >>> from dask import delayed
    >>> [one.key for one in first_tasks([delayed(abs)(delayed(abs)(-1, dask_key_name="a"), dask_key_name="b")])]
    ['a']
    """
    from dask.base import collections_to_expr
    from dask.delayed import Delayed

    tasks = list(tasks)
    graph = collections_to_expr(tasks).optimize().__dask_graph__() if tasks else {}
    own = {task.key for task in tasks}
    return [Delayed(key, {key: node}) for key, node in graph.items() if not node.dependencies and key not in own]


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
    text = " ".join(str(error).split())
    if "connection-lost" in text:
        return "the connection to the scheduler is lost (it died, or the network did)"
    return f"the scheduler dropped the work ({text})"


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
        raise WorkerError(f"{_why_dropped(ConnectionError('connection-lost'))}; run the study again to continue")
    return list(known["workers"].values())


def _results_here(work: _Work[PartT], *, stop: bool) -> Generator[tuple[Hashable, Any]]:
    import dask
    from dask.callbacks import Callback

    def note(key: Hashable, result: Any, *_: Any) -> None:
        if isinstance(result, Refusal) and (stop or result.ends_all):
            raise result.error
        if key in work:
            work.count(key)

    hooks: dict[str, Callable[..., None]] = {"posttask": note}
    while parts := work.start():
        tasks = [task for part in sorted(parts, key=lambda part: -part.priority) for task in part.tasks]
        with Callback(**hooks):
            results = dask.compute(*tasks, scheduler="synchronous")
        for task, result in zip(tasks, results, strict=True):
            work.settle(task.key, result)
            yield task.key, result
