"""Keys that no profile has."""

from __future__ import annotations

import pytest

from distspc.deployment.profile.checks import (
    queue_keys,
    unknown_distributed,
    unknown_jobqueue,
    unknown_sections,
    walltime_problems,
)
from distspc.deployment.profile.queues import QUEUES


def test_sections_are_those_of_dask_and_our_own():
    assert list(unknown_sections({"distspc": {}, "distributed": None, "jobqueue": {}, "logging": {}})) == []
    assert list(unknown_sections({"cluster": {}, "jobqueue": 3})) == [
        "cluster: unknown section; allowed are distspc, distributed, jobqueue, logging",
        "jobqueue: invalid value 3: expected a mapping of keys to values",
    ]


def test_keys_of_dask_may_have_hyphens_or_underscores():
    assert (
        list(unknown_distributed({"scheduler": {"allowed_failures": 3}, "worker": {"memory": {"spill": False}}})) == []
    )
    assert list(unknown_distributed({"nanny": {"pre-spawn-environ": {"ANY_NAME": 1}}})) == []
    (problem,) = unknown_distributed({"scheduler": {"alowed-failures": 3}})
    assert problem.startswith("distributed.scheduler.alowed-failures: unknown key; did you mean 'allowed-failures'?")
    (problem,) = unknown_distributed({"scheduler": 3})
    assert problem == "distributed.scheduler: invalid value 3: expected a mapping of keys to values"


@pytest.mark.parametrize(
    ("name", "account"), [("slurm", "account"), ("pbs", "account"), ("lsf", "project"), ("sge", "project")]
)
def test_who_is_charged_has_one_key(name, account):
    keys = queue_keys(QUEUES[name])
    assert [key for key in keys if key in ("account", "project")] == [account]
    assert "env-extra" not in keys  # renamed by dask-jobqueue


def test_keys_of_every_queue_are_looked_at():
    problems = list(unknown_jobqueue({"slurm": {"cores": 1, "ram": 2}, "cron": {}, "pbs": 3}))
    assert [problem.split(":")[0] for problem in problems] == ["jobqueue.slurm.ram", "jobqueue.cron", "jobqueue.pbs"]
    assert list(unknown_jobqueue(None)) == []


def test_the_walltime_of_the_driver_is_read_as_its_queue_reads_it():
    assert list(walltime_problems(None, QUEUES["lsf"])) == []
    assert list(walltime_problems("04:00", QUEUES["lsf"])) == []
    (problem,) = walltime_problems("04:00", QUEUES["slurm"])
    assert problem.startswith("distspc.driver.walltime: invalid value '04:00': expected hours:minutes:seconds")
