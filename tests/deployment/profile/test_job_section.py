"""The job section of a profile, as an object."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from distspc.deployment.profile.job_section import JobSection
from distspc.deployment.profile.quantities import Duration, Memory
from distspc.deployment.profile.queues import QUEUES


def section(queue, **keys):
    content = {"cores": 2, "memory": "4 GiB", **{name.replace("_", "-"): value for name, value in keys.items()}}
    return JobSection.model_validate(content, context={"queue": QUEUES[queue]})


def test_memory_and_walltime_are_read_once():
    job = section("slurm", walltime="01:00:00", account="mine")
    assert job.memory == Memory("4 GiB", 4 * 2**30)
    assert job.walltime == Duration("01:00:00", 3600)
    assert section("lsf", walltime="04:00").walltime == Duration("04:00", 14_400)
    assert section("slurm", walltime=None).walltime is None
    assert not hasattr(job, "account")  # for dask-jobqueue alone


def test_what_is_null_is_empty():
    job = section("slurm", job_script_prologue=None, worker_extra_args=None, scheduler_options=None)
    assert (job.job_script_prologue, job.worker_extra_args, job.scheduler_options) == ((), (), {})
    assert section("slurm", worker_extra_args=["--nworkers", 2]).worker_extra_args == ("--nworkers", "2")


@pytest.mark.parametrize(
    ("queue", "key"), [("slurm", "job_mem"), ("pbs", "resource_spec"), ("lsf", "mem"), ("sge", "resource_spec")]
)
def test_memory_in_the_words_of_the_queue_is_that_of_its_own_key(queue, key):
    lines = {"job_extra_directives": ["-pe smp 2"]}
    assert section(queue, **{key: "8G"}, **lines).queue_memory(QUEUES[queue]) == "8G"
    assert section(queue, **lines).queue_memory(QUEUES[queue]) is None


@pytest.mark.parametrize(
    ("queue", "keys", "words"),
    [
        ("slurm", {"cores": True}, "expected the cores of a job, a whole number from 1 to 4096"),
        ("slurm", {"cores": 4097}, "a whole number from 1 to 4096"),
        ("slurm", {"processes": 2}, "expected 1, always: for more, raise `workers`"),
        ("slurm", {"job_mem": "lots"}, "expected a number with K, M, G or T, as sbatch --mem reads it"),
        ("slurm", {"job_mem": "4095M"}, "expected at least the worker's memory, '4 GiB', or null"),
        ("pbs", {"walltime": "1-00:00:00"}, "expected hours:minutes:seconds"),
        ("sge", {}, "no line requests 2 slots; add one such as '-pe smp 2'"),
        ("sge", {"job_extra_directives": ["-pe mpi 3"]}, "requests 3 slots, and `cores` is 2; make it '-pe mpi 2'"),
        ("slurm", {"job_directives_skip": "--mem"}, "valid tuple"),
    ],
)
def test_what_no_job_can_have_is_refused(queue, keys, words):
    with pytest.raises(ValidationError, match=words):
        section(queue, **keys)


@pytest.mark.parametrize("keys", [{"cores": 1}, {"resource_spec": "slots=2"}, {"job_extra_directives": ["-pe mpi 2"]}])
def test_slots_may_be_asked_for_in_other_ways(keys):
    assert section("sge", **keys).memory.nbytes == 4 * 2**30


def test_nothing_is_changed_later():
    with pytest.raises(ValidationError, match="frozen"):
        section("slurm").cores = 3
