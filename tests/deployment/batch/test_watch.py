"""A watch over jobs, on a cluster of plain objects."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from distspc.deployment.batch import watch as watch_module
from distspc.deployment.batch.job_classes import JobHistory
from distspc.deployment.batch.watch import MAX_MISSES, REFUSALS, Watch


class Job:
    """A job of plain data."""

    def __init__(self, job_id, *, refused=False):
        self.job_id, self.refused, self.closed = job_id, refused, False

    async def close(self):
        self.closed = True


class Scheduler:
    """A scheduler with one client that waits for one task."""

    def __init__(self, connected):
        self.workers = {name: SimpleNamespace(name=name) for name in connected}
        self.clients = {"c": SimpleNamespace(wants_what=[SimpleNamespace(key="task")], client_key="c")}
        self.cancelled = []

    def stimulus_cancel(self, keys, client, **reason):
        self.cancelled.append((keys, client, reason["msg"]))


@pytest.fixture
def make_watch(monkeypatch, tmp_path):
    def make(jobs, *, queued, connected=(), record=None):
        monkeypatch.setattr(watch_module, "queued_jobs", lambda: queued)
        cluster = SimpleNamespace(workers=dict(jobs), worker_spec=dict(jobs), scheduler=Scheduler(connected))
        return Watch(cluster, record or JobHistory(), poll_s=1, log_directory=tmp_path)

    return make


def look(watch, n_times=1):
    for _ in range(n_times):
        asyncio.run(watch._look())


def test_a_job_that_is_gone_from_the_queue_is_dropped_at_the_second_look(make_watch):
    job = Job("17")
    watch = make_watch({"a": job}, queued={"18"})
    look(watch, MAX_MISSES - 1)
    assert watch.cluster.workers == {"a": job}
    look(watch)
    assert (watch.cluster.workers, watch.record.vanished, job.closed) == ({}, ["17"], True)


@pytest.mark.parametrize(("queued", "connected"), [({"17"}, ()), (None, ()), (set(), ("a",))])
def test_a_job_that_waits_or_works_or_cannot_be_asked_about_stays(make_watch, queued, connected):
    watch = make_watch({"a": Job("17")}, queued=queued, connected=connected)
    look(watch, MAX_MISSES + 1)
    assert list(watch.cluster.workers) == ["a"]


def test_a_refused_job_is_dropped_at_once(make_watch):
    watch = make_watch({"a": Job(None, refused=True)}, queued={"18"})
    look(watch)
    assert (watch.cluster.workers, watch.record.vanished) == ({}, [])


def test_a_queue_that_refuses_again_and_again_ends_the_cluster(make_watch):
    record = JobHistory(refusals=["no account"] * REFUSALS)
    watch = make_watch({}, queued=set(), record=record)
    look(watch, 2)
    assert record.failure == "the queue refuses the jobs: no account"
    assert watch.cluster.scheduler.cancelled == [(["task"], "c", record.failure)]


def test_jobs_that_end_again_and_again_end_the_cluster_with_the_last_error_of_their_log(make_watch, tmp_path):
    (tmp_path / "a-19.err").write_text("starting\nslurmstepd: error: no such file\n")
    record = JobHistory(submitted=["17", "18", "19"], vanished=["17", "18", "19"])
    look(make_watch({}, queued=set(), record=record))
    assert record.failure.startswith("3 jobs ended before their workers connected; the log says: slurmstepd: error: no")


def test_a_worker_that_connects_clears_what_went_before(make_watch):
    record = JobHistory(submitted=["17"], vanished=["15", "16", "14"])
    look(make_watch({"a": Job("17")}, queued={"17"}, connected=("a",), record=record))
    assert (record.vanished, record.failure) == ([], None)
