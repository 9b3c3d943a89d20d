"""Tasks in this process: results in order, progress, and refusals that stop their part alone."""

import errno
import time
from types import SimpleNamespace

import dask
import pytest
from distributed import Client

from distspc.deployment.profile.shape import WorkerShape
from distspc.errors import InputError
from distspc.kernels.threads import allowed_threads
from distspc.pipeline.compute import Part, available_workers, compute, compute_parts, run_on_all_workers
from distspc.schedule import Workers
from distspc.tasks import refusals_as_values, task


def double(x):
    return 2 * x


def refuse(x):
    raise InputError(f"{x} cannot be used")


def test_results_come_in_order_where_they_are_asked_for():
    tasks = [dask.delayed(double)(i) for i in range(5)]
    assert compute(tasks, None, label="twice", gather=True) == [0, 2, 4, 6, 8]
    assert compute(tasks, None, label="twice") == []


def test_progress_is_told_from_none_to_all():
    told = []
    compute([dask.delayed(double)(i) for i in range(3)], None, label="twice", progress=lambda *a: told.append(a))
    assert told[0] == ("twice", 0, 3)
    assert told[-1] == ("twice", 3, 3)
    assert [n for _, n, _ in told] == sorted(n for _, n, _ in told)


def test_a_refusal_stops_its_part_alone():
    with refusals_as_values():
        parts = [Part("good", [task(double)(1), task(double)(2)], "parts"), Part("bad", [task(refuse)(7)], "parts")]
    refused = compute_parts(parts, None)
    assert list(refused) == ["bad"]
    assert str(refused["bad"]) == "7 cannot be used"


def meet_full_disk(log):
    """A task that says that it has begun, and finds no space."""
    with open(log, "a") as file:
        file.write("begun\n")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("with_client", [False, True])
def test_a_full_disk_is_met_once_and_ends_all_parts(tmp_path, with_client):
    log = tmp_path / "log"
    with refusals_as_values():
        parts = [Part("full", [task(double)(task(meet_full_disk)(str(log)))], "parts"), Part("good", [], "parts")]
    client = Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None)
    with client, pytest.raises(OSError, match="No space left") as raised:
        compute_parts(parts, client if with_client else None)
    assert raised.value.errno == errno.ENOSPC
    assert log.read_text() == "begun\n"


def test_a_refusal_is_raised_where_there_are_no_parts():
    with refusals_as_values():
        tasks = [task(double)(1), task(refuse)(7)]
    with pytest.raises(InputError, match="7 cannot be used"):
        compute(tasks, None, label="all", gather=True)


def note(log, name, _=None, *, slow=False, refuses=False):
    """A task that says that it has begun."""
    time.sleep(0.05 * slow)
    with open(log, "a") as file:
        file.write(f"{name}\n")
    if refuses:
        raise InputError("of no use")


@pytest.mark.parametrize("refuses", [False, True])
def test_parts_that_open_have_their_first_tasks_done_before_others_begin(tmp_path, refuses):
    def run(log, client):
        with refusals_as_values():
            first = {name: task(note)(str(log), name, slow=True, refuses=refuses) for name in ("a", "b")}
            fits = [
                Part(f"fit {name}", [task(note)(str(log), f"fit {name}", one)], "fit", 1, True)
                for name, one in first.items()
            ]
            chain = task(note)(str(log), "long", task(note)(str(log), "longer"))
            refused = compute_parts([Part("long", [chain], "long", 2), *fits], client)
        return refused, log.read_text().split("\n")[:-1]

    fits = {"fit a", "fit b"}
    with Client(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as client:
        refused, done = run(tmp_path / "cluster", client)
    assert {"a", "b"} <= set(done[: done.index("longer")])
    assert (set(refused), set(done)) == (
        (fits if refuses else set()),
        {"a", "b", "longer", "long"} | (set() if refuses else fits),
    )
    refused, done = run(tmp_path / "here", None)
    assert (set(refused), done[-1]) == (fits if refuses else set(), "long")


def test_without_a_client_this_process_is_the_worker():
    called = []
    run_on_all_workers(lambda: called.append(1), None)
    assert called == [1]
    assert available_workers(None) == Workers(1, allowed_threads(), None)


class Cluster:
    """A client whose cluster has some workers there, and is to have more."""

    def __init__(self, there, *, spec=(), maximum=None, shape=None):
        self.there, self.cluster = there, SimpleNamespace(worker_spec=dict.fromkeys(spec), distspc_shape=shape)
        self.cluster._adaptive = None if maximum is None else SimpleNamespace(maximum=maximum)

    def scheduler_info(self, n_workers):
        return {"workers": {str(i): {"nthreads": 1, "memory_limit": 10 * 2**30} for i in range(self.there)}}

    def run(self, function, on_error):
        return {str(i): 4 + i for i in range(self.there)}


def test_workers_that_are_to_come_are_counted():
    memory = int(0.6 * 10 * 2**30)
    assert available_workers(Cluster(2)) == Workers(2, 4, memory)
    assert available_workers(Cluster(2, spec="abc")) == Workers(3, 4, memory)
    assert available_workers(Cluster(2, spec="ab", maximum=20)) == Workers(20, 4, memory)
    assert available_workers(Cluster(2, spec="ab", maximum=float("inf"))) == Workers(2, 4, memory)
    assert available_workers(Cluster(0, maximum=5)) == Workers(5, 1, None)


def test_where_none_is_there_yet_each_has_what_the_profile_gives_it():
    shape = WorkerShape(3, 8, 10 * 2**30)
    memory = int(0.6 * 10 * 2**30)
    assert available_workers(Cluster(0, maximum=5, shape=shape)) == Workers(5, 8, memory)
    assert available_workers(Cluster(0, maximum=float("inf"), shape=shape)) == Workers(1, 8, memory)
    assert available_workers(Cluster(2, maximum=5, shape=shape)) == Workers(5, 4, memory)
