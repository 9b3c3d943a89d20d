"""Workers that are jobs of a real SLURM: kept, guarded, and gone at the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from distspc.deployment.failures import explain_failure
from distspc.deployment.session import deploy
from distspc.errors import InputError, WorkerError
from distspc.testing.workers import crash, import_module, process_info

pytestmark = pytest.mark.slurm

ONE = ("workers=1", "timeouts.poll=0.5", "distributed.deploy.lost-worker-timeout=1s")
RESULT_S = 120


def collect(futures):
    """Results as they come, each future let go at once: a worker that leaves takes no finished result with it."""
    from distributed import as_completed

    results = []
    for future in as_completed(futures, timeout=RESULT_S):
        results.append(future.result())
        future.release()
    return results


@pytest.mark.faults
def test_a_killed_worker_a_cancelled_job_and_a_dead_node_are_replaced(queue, logs):
    with deploy("testbed", overrides=ONE, log_directory=logs) as client:
        client.wait_for_workers(1, timeout=RESULT_S)
        (first,) = client.run(process_info).values()
        early = client.map(process_info, [0.3] * 3, pure=False)
        os.kill(first["pid"], signal.SIGKILL)
        assert first["pid"] not in {one["pid"] for one in collect(early)}
        (second,) = client.run(process_info).values()
        late = client.map(process_info, [0.3] * 3, pure=False)
        subprocess.run(["scancel", second["job"]], check=True)
        seen = collect(late)
        assert len(seen) == 3
        third = seen[-1]["job"]
        assert third != second["job"]
        last = client.map(process_info, [0.3] * 3, pure=False)
        fail_node_of(third)
        assert collect(last)[-1]["job"] != third


def fail_node_of(job: str) -> None:
    """Take the node of a job down; it comes back by itself."""
    node = subprocess.run(["squeue", "-h", "-o", "%N", "-j", job], capture_output=True, text=True, check=True)
    change = [f"NodeName={node.stdout.strip()}", "State=DOWN", "Reason=test"]
    subprocess.run(["scontrol", "update", *change], check=True)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("queue=nowhere", "invalid partition specified: nowhere"),
        ("job-mem=9999G", "node configuration is not available"),
    ],
)
def test_a_refused_job_is_told_at_once_in_the_words_of_slurm(queue, logs, override, words):
    with pytest.raises(InputError, match=f"SLURM refuses the job of profile testbed: .*{words}"):  # noqa: SIM117
        with deploy("testbed", overrides=(override,), log_directory=logs):
            pass
    assert not logs.exists()


def test_jobs_that_wait_are_told_with_the_reason(queue, logs):
    overrides = (*ONE, 'job-extra-directives=["--hold"]', "timeouts.start=2")
    with pytest.raises(WorkerError, match=r"no worker .* within 2 s; jobs in the queue: \d+ PENDING \(JobHeldUser\)"):  # noqa: SIM117
        with deploy("testbed", overrides=overrides, log_directory=logs):
            pass


def test_a_refusal_later_on_is_told_and_the_run_goes_on(queue, logs, tmp_path, monkeypatch, caplog):
    limited = tmp_path / "bin" / "sbatch"
    limited.parent.mkdir()
    words = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
    passes = f'for i in test first; do mkdir {tmp_path}/$i 2>/dev/null && exec {shutil.which("sbatch")} "$@"; done'
    limited.write_text(f'#!/bin/sh\n{passes}\necho "{words}" >&2; exit 1\n')
    limited.chmod(0o755)
    monkeypatch.setenv("PATH", f"{limited.parent}:{os.environ['PATH']}")
    with deploy("testbed", overrides=("timeouts.poll=0.3",), log_directory=logs) as client:
        assert client.submit(sum, [1, 2]).result(timeout=RESULT_S) == 3
        time.sleep(2)  # a few looks at the queue
        assert client.submit(sum, [1, 3]).result(timeout=RESULT_S) == 4
    told = [record.message for record in caplog.records if words in record.message and "distspc" in record.name]
    assert told == [f"the queue refuses a job, going on with those it took: {words}"]


def test_jobs_that_end_before_a_worker_comes_are_given_up_with_their_log(queue, logs):
    overrides = (*ONE, "timeouts.poll=0.2", "python=/nowhere/python")
    with pytest.raises(WorkerError, match=r"3 jobs ended before .*/nowhere/python.*; log: /.*\.err"):  # noqa: SIM117
        with deploy("testbed", overrides=overrides, log_directory=logs):
            pass


def test_failures_of_workers_are_a_sentence_with_the_log(queue, logs):
    overrides = (*ONE, "distributed.scheduler.allowed-failures=0")

    def run():
        with deploy("testbed", overrides=overrides, log_directory=logs) as client:
            with pytest.raises(ModuleNotFoundError, match="nowhere") as missing:
                client.submit(import_module, "nowhere").result(timeout=RESULT_S)
            said = str(explain_failure(missing.value, client))
            assert "a worker has no module 'nowhere'" in said
            assert f"log: {logs}/distspc-" in said
            client.submit(crash, pure=False).result(timeout=RESULT_S)

    with pytest.raises(WorkerError, match=r"lost its worker 1 time: .*; log: /.*distspc-\d+\.err"):
        run()


def test_adapt_follows_the_work_down_to_none(queue, logs, until):
    overrides = ("adapt={minimum: 0, maximum: 1}", "distributed.adaptive.interval=300ms")
    with deploy("testbed", overrides=overrides, log_directory=logs) as client:
        assert queue() == []
        future = client.submit(process_info, 0.1, pure=False)
        job = future.result(timeout=RESULT_S)["job"]
        assert queue() == [job]
        del future
        until(lambda: queue() == [])


SCRIPT = """
import signal
import sys
from distspc import deploy
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & ignores Ctrl-C
    with deploy("testbed", overrides=["death-timeout=4"], log_directory=sys.argv[1]) as client:
        client.wait_for_workers(1)
        futures = client.map(__import__("time").sleep, [60] * 4, pure=False)
        print("working", flush=True)
        client.gather(futures)
"""


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_job(queue, logs, tmp_path, until, number):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script, logs],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == "working\n"
        assert queue()
        os.killpg(process.pid, number)  # as a terminal does: to the whole group
        assert process.wait(timeout=RESULT_S) != 0
    if number == signal.SIGKILL:  # nobody is left to cancel them: the workers see that the scheduler is gone
        until(lambda: queue() == [], seconds=RESULT_S)
    assert queue() == []


OWN = """
import sys
from distspc import deploy
from distspc.testing.workers import blas_threads
if __name__ == "__main__":
    own = ["workers=1", "cores=2", "interface=lo"]
    with deploy("slurm-runner", overrides=own, log_directory=sys.argv[1]) as client:
        print(*client.run(blas_threads).values())
"""


def test_a_script_of_ones_own_that_srun_starts_has_the_whole_cluster(queue, logs, tmp_path, until):
    script = tmp_path / "own.py"
    script.write_text(OWN)
    command = ["srun", "--ntasks=3", "--cpus-per-task=2", sys.executable, script, logs]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RESULT_S, cwd=tmp_path)
    assert done.stdout == "{'blas': 2, 'assigned': 2}\n", done.stderr
    assert not list(logs.iterdir())
    until(lambda: queue() == [])
