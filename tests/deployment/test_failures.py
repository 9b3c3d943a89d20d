"""Failures of workers as sentences."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from distspc.deployment.batch.job_classes import JobHistory
from distspc.deployment.failures import LogTail, explain_failure, job_logs, last_log_error, log_tail
from distspc.deployment.session import deploy
from distspc.errors import InputError, WorkerError
from distspc.testing.workers import crash, fill_memory

WAIT_S = 60


@pytest.mark.faults
def test_a_task_that_kills_its_workers_is_told_in_a_sentence():
    overrides = ["workers=1", "distributed.scheduler.allowed-failures=0"]

    def run():
        with deploy("local", overrides=overrides) as client:
            client.submit(crash, pure=False).result(timeout=WAIT_S)

    with pytest.raises(WorkerError, match=r"task crash-.* lost its worker 1 time: it ended without an error message"):
        run()


@pytest.mark.faults
def test_a_task_that_takes_too_much_memory_is_told_in_a_sentence():
    overrides = ["workers=1", "memory-per-worker=0.5 GiB", "distributed.scheduler.allowed-failures=0"]

    def run():
        with deploy("local", overrides=overrides) as client:
            client.submit(fill_memory, 2**30, 30).result(timeout=WAIT_S)

    with pytest.raises(WorkerError, match=r"task fill_memory-.* lost its worker 1 time: it ran out of memory"):
        run()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("distributed.nanny.memory - WARNING - Worker exceeded 95% memory budget. Restarting...", "ran out of memory"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch", "ran out of memory"),
        ("Traceback\nModuleNotFoundError: No module named 'keras'", "No module named 'keras'"),
        ("Start worker", "ended without an error message"),
    ],
)
def test_a_killed_worker_is_explained_by_its_log(tmp_path, log, words):
    from types import SimpleNamespace

    from distributed.scheduler import KilledWorker

    from distspc.deployment.batch.job_classes import JobHistory

    (tmp_path / "study-17.err").write_text(log)
    (tmp_path / "study-170.err").write_text("ModuleNotFoundError: not this one")
    cluster = SimpleNamespace(distspc_record=JobHistory(submitted=["17"]), distspc_logs=tmp_path)
    error = KilledWorker("distances:fc2-1", SimpleNamespace(address="tcp://x"), 20)
    said = str(explain_failure(error, SimpleNamespace(cluster=cluster)))
    assert words in said
    assert said.startswith("task distances:fc2-1 lost its worker 21 times")
    assert said.endswith(f"log: {tmp_path}/study-17.err")


def test_last_words_of_jobs_without_a_log():
    assert last_log_error(None, ["3"]) == "they left no log"


def test_a_missing_module_a_missing_resource_and_a_lost_scheduler_are_explained():
    from distributed.client import CancelledError
    from distributed.scheduler import NoValidWorkerError

    missing = explain_failure(ModuleNotFoundError("No module named 'x'", name="x"))
    assert str(missing).startswith("a worker has no module 'x': install it")
    refused = NoValidWorkerError("task", set(), set(), {"GPU": 1}, 1.0)
    assert str(explain_failure(refused)).endswith("set `resources` in the profile")
    lost = str(explain_failure(CancelledError("task"), lines=["Worker exceeded 95% memory budget"]))
    assert lost.startswith("the connection to the scheduler is lost (task): it ran out of memory")
    assert lost.endswith("what is done stays, run the study again to continue")


def test_errors_of_ours_and_of_the_work_are_left_as_they_are():
    assert explain_failure(InputError("no")) is None
    assert explain_failure(WorkerError("no")) is None
    assert explain_failure(ValueError("no")) is None


def test_a_cluster_that_was_given_up_says_why():
    cluster = SimpleNamespace(distspc_record=JobHistory(failure="the queue refuses the jobs: no account"))
    client = SimpleNamespace(cluster=cluster)
    assert str(explain_failure(ValueError("no"), client)) == "the queue refuses the jobs: no account"
    assert explain_failure(InputError("no"), client) is None


def test_logs_are_those_of_the_jobs_errors_first(tmp_path):
    import os

    for name in ("a-17.out", "a-17.err", "a-170.err", ".tls-1"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1, 1))
    assert [file.name for file in job_logs(tmp_path, ["17"])] == ["a-17.err", "a-17.out"]
    assert len(job_logs(tmp_path)) == 3
    assert job_logs(tmp_path / "nowhere") == job_logs(None) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x\nImportError: no y\nz\n", "ImportError: no y"),
        ("x\nsh: module: command not found\nbye\n", "sh: module: command not found"),
        ("x\nbye\n", "bye"),
    ],
)
def test_the_last_error_of_a_log_is_the_line_that_says_most(tmp_path, text, line):
    (tmp_path / "a-17.err").write_text(text)
    assert last_log_error(tmp_path, ["17"]) == f"the log says: {line}; log: {tmp_path}/a-17.err"
    assert last_log_error(tmp_path, ["18"]) == f"they left no log in {tmp_path}"


def test_the_last_lines_that_dask_logs_are_kept():
    import logging

    logger = logging.getLogger("distributed.nanny")
    with log_tail() as tail:
        logger.warning("worker %d is gone", 3)
    logger.warning("nobody hears")
    assert list(tail.lines) == ["worker 3 is gone"]
    short = LogTail(n_lines=1)
    for number in (1, 2):
        short.emit(logging.LogRecord("distributed", logging.INFO, "", 0, f"line {number}", None, None))
    assert list(short.lines) == ["line 2"]
