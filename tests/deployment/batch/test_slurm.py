"""SLURM's commands, by stand-ins for them."""

from __future__ import annotations

import os

import pytest

from distspc.deployment.batch.slurm import clean_environment, queue_lines, queued_jobs, run_squeue, sbatch_error


def test_jobs_do_not_inherit_the_allocation_around_them(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1")
    monkeypatch.setenv("SLURM_CONF", "/somewhere")
    environment = clean_environment()
    assert [name for name in environment if name.startswith("SLURM_")] == ["SLURM_CONF"]
    assert environment["PATH"] == os.environ["PATH"]


def test_variables_of_every_queue_are_left_out(monkeypatch):
    for name in ("PBS_JOBID", "PBS_CONF_FILE", "LSB_JOBID", "SLURMD_NODENAME", "MINE"):
        monkeypatch.setenv(name, "x")
    environment = clean_environment()
    assert [name for name in sorted(environment) if environment[name] == "x"] == ["MINE", "PBS_CONF_FILE"]


def test_the_queue_is_asked_for_the_jobs_of_this_user(stand_in, tmp_path):
    stand_in("squeue", f"echo \"$@\" > {tmp_path}/asked; echo ' 41 '; echo 42")
    assert queued_jobs() == {"41", "42"}
    assert (tmp_path / "asked").read_text().split() == ["--noheader", "--user", str(os.getuid()), "--format", "%A"]


def test_only_lines_of_the_jobs_in_question_are_given(stand_in):
    stand_in("squeue", "echo '41 RUNNING (None)'; echo; echo '42 PENDING (Priority)'; echo '410 RUNNING (None)'")
    assert queue_lines(["41", "7"], "%A %T (%r)") == ["41 RUNNING (None)"]


def test_a_queue_that_does_not_answer_is_told_from_an_empty_one(stand_in, monkeypatch, tmp_path):
    stand_in("squeue", "exit 0")
    assert (run_squeue(), queued_jobs()) == ([], set())
    stand_in("squeue", "echo 41; exit 1")
    assert (run_squeue(), queued_jobs(), queue_lines(["41"])) == (None, None, [])
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert queued_jobs() is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("cat > /dev/null; exit 0", None),
        ("cat > /dev/null; echo 'invalid  partition' >&2; exit 1", "invalid partition"),
        ("exit 3", "sbatch ended with 3"),
    ],
)
def test_sbatch_says_whether_it_would_take_a_script(stand_in, body, message):
    stand_in("sbatch", body)
    assert sbatch_error("#!/bin/sh\n") == message
