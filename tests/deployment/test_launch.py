"""The program that srun starts."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from distspc.deployment import launch


@pytest.fixture
def started(monkeypatch):
    """What the task of rank 1 starts: command and variables."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setattr("distspc.deployment.session.deploy", lambda *_, **__: nullcontext())
    calls = []

    def run(command, *, env, check):
        calls.append((command, env))
        return SimpleNamespace(returncode=3)

    monkeypatch.setattr(launch.subprocess, "run", run)
    return calls


def test_the_task_of_rank_1_runs_the_study_at_the_scheduler_of_its_job(started, tmp_path):
    arguments = ["--profile", "slurm-runner", "--logs", str(tmp_path), "--", "run", "study.yaml", "--redo"]
    assert launch.main(arguments) == 3
    ((command, environment),) = started
    place = str(tmp_path / ".runner-7.0" / "scheduler.json")
    assert command[0] == sys.executable
    assert command[3:] == ["run", "study.yaml", "--redo", "--profile", place]
    assert environment["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "True"
    assert environment["DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"] == str(tmp_path / ".runner-7.0" / "key.pem")


def test_without_tls_there_are_no_certificates(started, tmp_path):
    launch.main(["--profile", "slurm-runner", "--set", "security=none", "--logs", str(tmp_path), "--", "run", "s.yaml"])
    ((_, environment),) = started
    assert not [name for name in environment if name.startswith("DASK_DISTRIBUTED__COMM__TLS")]
