"""A scheduler lost in the middle of a run, and workers whose every third task fails."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults
WAIT_S = 120
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@pytest.fixture
def start_cluster(tmp_path):
    """Give a function that starts a scheduler and a worker; returns their processes and the scheduler's file."""
    started, one = [], os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def start(name):
        file = tmp_path / f"{name}.json"
        scheduler = [*("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)]
        worker = [*("worker", "--scheduler-file", file, "--nthreads", "1", "--no-dashboard", "--death-timeout", "20")]
        for arguments in (scheduler, worker):
            command = [sys.executable, "-m", "dask", *map(str, arguments)]
            started.append(subprocess.Popen(command, cwd=tmp_path, env=one, start_new_session=True, **QUIET))
            wait_until(lambda: written(file))
        return started[-2], file

    yield start
    for process in started:
        with_children(process, signal.SIGKILL)


def with_children(process, number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    process.wait(timeout=WAIT_S)


def written(file):
    """Whether a scheduler has written its file to the end."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        return "address" in json.loads(file.read_text())
    return False


def wait_until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_scheduler_lost_in_the_middle_of_a_run(study, start_cluster, reference):
    scheduler, file = start_cluster("first")
    process = study.start("run", study.file, "--profile", file)
    wait_until(lambda: any(study.store.glob("distances/distance/c/*/*/*")) or process.poll() is not None)
    scheduler.kill()
    ended = study.end(process)
    assert ended.code == 1, ended.err
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, ended.err
    assert "Traceback" not in ended.err, ended.err
    assert "the connection to the scheduler is lost" in lines[0]
    assert "--verbose" not in lines[0]
    assert "run the study again to continue" in lines[0]
    kept = study.digests()
    assert kept.items() <= reference.items()
    _, file = start_cluster("second")
    ended = study("run", "--profile", json.loads(file.read_text())["address"])
    assert ended.code == 0, ended.err
    assert study.digests() == reference
    assert study.left_over() == []


def test_every_third_call_of_a_task_fails(study, reference, tmp_path, monkeypatch):
    log = tmp_path / "failed.txt"
    monkeypatch.setenv("FAILED_CALLS", str(log))
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__PRELOAD", str(Path(__file__).with_name("every_third.py")))
    ended = study.run_on_a_process()
    assert ended.code == 0, ended.err
    failed = log.read_text().split()
    assert {"_import", "fit_seed"} <= set(failed)
    assert study.digests() == reference
    assert study.left_over() == []
