"""What a job is asked with."""

from __future__ import annotations

from pathlib import Path

import pytest

from distspc.deployment.batch.driver import job_script
from distspc.deployment.batch.jobs import (
    Lifetime,
    job_keywords,
    job_name,
    lifetime,
    prologue,
    thread_exports,
    worker_arguments,
)
from distspc.deployment.profile.quantities import seconds
from distspc.deployment.profile.reading import load_profile
from distspc.errors import InputError


@pytest.mark.parametrize("wall", ["00:00:30", "00:10:00", "04:00:00", "7-00:00:00"])
def test_a_worker_hands_over_before_the_walltime_even_with_the_stagger(wall):
    hand_over = lifetime(load_profile("slurm-cpu", [f"walltime={wall}"]))
    assert hand_over.age - hand_over.stagger > 0
    assert hand_over.age + hand_over.stagger < seconds(wall)


def test_a_lifetime_beyond_the_walltime_is_refused():
    with pytest.raises(InputError, match=r"`lifetime` \(2h\) must be less than the walltime"):
        lifetime(load_profile("slurm-cpu", ["lifetime=2h", "walltime=01:00:00"]))


def test_a_folder_that_a_job_script_cannot_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot stand in a job script because of ' '"):
        job_script("slurm-cpu", log_directory=tmp_path / "my logs")


def test_a_lifetime_may_be_given_or_none():
    assert lifetime(load_profile("slurm-cpu", ["lifetime=55m", "walltime=01:00:00"])) == Lifetime(age=3300, stagger=150)
    assert lifetime(load_profile("slurm-cpu", ["lifetime=1h", "walltime=null"])) == Lifetime(age=3600, stagger=180)
    assert lifetime(load_profile("slurm-cpu", ["walltime=null"])) is None
    assert lifetime(load_profile("slurm-cpu", ["lifetime=null"])) is None


@pytest.mark.parametrize(
    ("name", "expected"), [("a study/extract", "a-study-extract"), ("-.", "distspc"), ("ä b", "b")]
)
def test_a_name_that_every_queue_takes(name, expected):
    assert job_name(name) == expected


def test_a_worker_offers_its_resources_and_has_no_page():
    arguments = worker_arguments(load_profile("slurm-gpu", ['worker-extra-args=["--preload", "mine"]']))
    assert arguments[:3] == ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    assert arguments[arguments.index("--resources") + 1] == "GPU=1"
    assert arguments[-2:] == ["--preload", "mine"]


def test_shell_lines_of_the_profile_come_last():
    lines = prologue(load_profile("slurm-cpu", ["cores=3", 'job-script-prologue=["module load x"]']))
    assert lines[:2] == ["trap : TERM", thread_exports(3)]
    assert "export DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT=60s" in lines
    assert not [line for line in lines if "SCHEDULER" in line]  # for the scheduler alone
    assert lines[-1] == "module load x"


@pytest.mark.parametrize(
    ("name", "overrides", "keywords"),
    [
        ("slurm-cpu", [], {"job_mem": "18023M"}),
        ("slurm-cpu", ["job-mem=20G"], {}),
        ("pbs", ["resource-spec=select=1"], {}),
        ("lsf", ["mem=20000000000"], {}),
        ("sge", ["resource-spec=h_vmem=6G"], {}),
    ],
)
def test_memory_in_the_words_of_the_queue_is_left_to_it(name, overrides, keywords):
    made = job_keywords(load_profile(name, overrides), name="a b", log_directory=Path("/tmp/logs"))
    assert {key: made[key] for key in ("job_mem", "resource_spec", "mem") if key in made} == keywords
    assert (made["cores"], made["memory"], made["job_name"]) == (4, "16384 MiB", "a-b")
