"""Workers that are jobs of a batch queue."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from distspc.deployment.batch import client as batch_client
from distspc.deployment.batch.client import check_queue, maintain_jobs, waiting_jobs
from distspc.deployment.batch.job_classes import JobHistory
from distspc.deployment.profile.reading import load_profile
from distspc.deployment.session import deploy
from distspc.errors import InputError, WorkerError
from distspc.testing.workers import blas_threads, process_info


def test_without_the_commands_of_the_queue_the_error_says_where_to_go(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"there is no sbatch on this machine: .* login node"), deploy("slurm-cpu"):
        pass


# A queue of two commands: it runs a job at once, in a session of its own, and ends it by its id.
SUBMIT = """#!/bin/sh
script=$(mktemp "{folder}/job.XXXXXX")
cat "${{1:-/dev/stdin}}" > "$script"
setsid bash "$script" > "{folder}/log" 2>&1 < /dev/null &
echo "Job <$!> is submitted"
"""

CANCEL = """#!/bin/sh
kill -TERM -- "-$1"
"""


@pytest.mark.parametrize(
    ("queue", "submit", "cancel"), [("pbs", "qsub", "qdel"), ("lsf", "bsub", "bkill"), ("sge", "qsub", "qdel")]
)
def test_the_script_of_every_queue_makes_a_worker_with_the_cores_asked_for(
    queue, submit, cancel, tmp_path, monkeypatch, until
):
    for command, text in ((submit, SUBMIT), (cancel, CANCEL)):
        (tmp_path / command).write_text(text.format(folder=tmp_path))
        (tmp_path / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # as the user's shell may say: the profile decides
    changed = ["workers=1", "cores=2", "memory=1 GiB", "interface=lo", "timeouts.start=60"]
    changed += ['job-extra-directives=["-pe smp 2"]'] if queue == "sge" else []
    with deploy(queue, overrides=changed, log_directory=tmp_path / "logs") as client:
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        assert list(client.run(blas_threads).values()) == [{"blas": 2, "assigned": 2}]
        (one,) = client.run(process_info).values()
    until(lambda: not Path(f"/proc/{one['pid']}").exists())
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_a_script_that_slurm_would_not_take_is_refused_before_anything_starts(stand_in, tmp_path):
    stand_in("sbatch", "cat > /dev/null; echo 'invalid partition' >&2; exit 1")
    with pytest.raises(InputError, match="SLURM refuses the job of profile testbed: invalid partition"):
        check_queue(load_profile("testbed"), name="a", log_directory=tmp_path / "logs")


@pytest.mark.parametrize(
    ("overrides", "bounds"),
    [([], {"minimum": 4, "maximum": 4}), (["adapt={minimum: 0, maximum: 9}"], {"minimum": 0, "maximum": 9})],
)
def test_jobs_are_kept_at_their_number_or_between_bounds(overrides, bounds):
    asked = []
    maintain_jobs(SimpleNamespace(adapt=lambda **keywords: asked.append(keywords)), load_profile("pbs", overrides))
    assert asked == [bounds]


def test_jobs_that_wait_are_told_with_the_reason(stand_in):
    stand_in("squeue", "echo '17 PENDING (Resources)'; echo '18 RUNNING (None)'")
    history = JobHistory(submitted=["17"])
    assert waiting_jobs(load_profile("slurm-cpu"), history) == "jobs in the queue: 17 PENDING (Resources)"
    assert waiting_jobs(load_profile("slurm-cpu"), JobHistory()) == "jobs in the queue: none"
    assert waiting_jobs(load_profile("pbs"), history) == "jobs submitted: 17"


@pytest.mark.parametrize(
    ("history", "error", "words"),
    [
        (JobHistory(failure="no node"), WorkerError, "no node"),
        (JobHistory(refusals=["no account"]), InputError, "the queue refuses the job of profile pbs: no account"),
        (JobHistory(), WorkerError, "qsub has not answered for 60 s"),
    ],
)
def test_waiting_ends_with_a_reason(history, error, words):
    with pytest.raises(error, match=words):
        batch_client._raise_trouble(load_profile("pbs"), history, waited_s=61)


def test_waiting_goes_on_while_the_queue_may_still_take_a_job():
    for history in (JobHistory(submitted=["1"], refusals=["x"]), JobHistory(refusals=["x"], in_flight=1), JobHistory()):
        batch_client._raise_trouble(load_profile("pbs"), history, waited_s=1)


def test_every_job_that_was_submitted_is_cancelled(stand_in, tmp_path):
    stand_in("squeue", f"test -e {tmp_path}/cancelled || {{ echo 17; echo 99; }}")
    stand_in("scancel", f'echo "$@" > {tmp_path}/cancelled')
    with batch_client._queue_left_empty(load_profile("slurm-cpu"), JobHistory(submitted=["17", "18"])):
        pass
    assert (tmp_path / "cancelled").read_text() == "17\n"
