"""What each batch queue is asked with."""

from __future__ import annotations

import pytest

from distspc.deployment.profile.queues import (
    QUEUES,
    driver_memory_keywords,
    job_memory_mib,
    queue_of,
    worker_memory_keywords,
)


def test_each_kind_submits_to_its_queue():
    assert {kind: queue_of(kind).name for kind in (*QUEUES, "slurm-runner")} == {
        "slurm": "slurm",
        "pbs": "pbs",
        "lsf": "lsf",
        "sge": "sge",
        "slurm-runner": "slurm",
    }
    assert queue_of("local") is None
    assert queue_of("address") is None


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("slurm", {"job_mem": "18023M"}),
        ("pbs", {"resource_spec": "select=1:ncpus=3:mem=18023mb"}),
        ("lsf", {"mem": 18023 * 2**20}),
        ("sge", {"resource_spec": "h_vmem=6008M"}),
    ],
)
def test_a_worker_asks_for_a_tenth_more_than_it_may_take_rounded_up(name, keywords):
    assert worker_memory_keywords(QUEUES[name], 3, 16 * 2**30) == keywords


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("slurm", {"job_mem": "2355M"}),
        ("pbs", {"resource_spec": "select=1:ncpus=2:mem=2355mb"}),
        ("lsf", {"ncpus": 2, "mem": 2_469_606_195}),
        ("sge", {"resource_spec": "h_vmem=1177M"}),
    ],
)
def test_the_driver_asks_for_what_the_profile_says(name, keywords):
    assert driver_memory_keywords(QUEUES[name], 2, 2_469_606_195) == keywords


def test_a_small_job_has_half_a_gibibyte_beyond_its_worker():
    assert job_memory_mib(2**30) == 1536
    assert job_memory_mib(100 * 2**30) == 110 * 1024


@pytest.mark.parametrize(("name", "days"), [("slurm", True), ("pbs", False), ("sge", False)])
def test_days_in_a_walltime_are_for_queues_that_read_them(name, days):
    read = QUEUES[name].walltime_seconds
    assert read("01:00:00") == 3600
    if days:
        assert read("1-00:00:00") == 86_400
    else:
        with pytest.raises(ValueError, match="expected hours:minutes:seconds"):
            read("1-00:00:00")


def test_every_queue_is_known_to_dask_jobqueue():
    from distspc.deployment.shutdown import preserve_signal_handlers

    with preserve_signal_handlers():
        import dask_jobqueue
    for queue in QUEUES.values():
        job = getattr(dask_jobqueue, queue.cluster_class).job_cls
        assert job.config_name == queue.name
        assert job.submit_command.split()[0] == queue.submit_command
