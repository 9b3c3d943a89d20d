"""One job that is a whole cluster: how its tasks find each other."""

from __future__ import annotations

import os

import pytest

from distspc.deployment.batch.runner import remove_stale_rendezvous, rendezvous_folder
from distspc.deployment.session import deploy
from distspc.errors import InputError


def test_meeting_places_of_jobs_that_are_gone_are_swept(tmp_path, monkeypatch):
    for name in (".runner-41.0", ".runner-42.0"):
        (tmp_path / "logs" / name).mkdir(parents=True)
    answer = tmp_path / "squeue"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for code, left in ((1, 2), (0, 1)):  # a queue that does not answer holds everything
        answer.write_text(f"#!/bin/sh\necho 42\nexit {code}\n")
        answer.chmod(0o755)
        remove_stale_rendezvous(tmp_path / "logs")
        assert len(list((tmp_path / "logs").iterdir())) == left
    assert (tmp_path / "logs" / ".runner-42.0").exists()


def test_outside_srun_the_error_says_how_to_submit(monkeypatch, tmp_path):
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with (
        pytest.raises(InputError, match=r"tasks that srun starts within one job; `distspc submit STUDY\.yaml"),
        deploy("slurm-runner", log_directory=tmp_path),
    ):
        pass


def test_the_tasks_of_a_step_share_a_folder_that_the_first_makes(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_STEP_ID", "2")
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert rendezvous_folder(tmp_path) == tmp_path / ".runner-7.2"
    assert not (tmp_path / ".runner-7.2").exists()
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert rendezvous_folder(tmp_path).stat().st_mode & 0o777 == 0o700
