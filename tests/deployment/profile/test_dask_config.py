"""Dask's configuration under a profile."""

from __future__ import annotations

import pytest

from distspc.deployment.profile.dask_config import canonical, dask_config, flatten
from distspc.deployment.profile.reading import load_profile
from distspc.deployment.profile.shape import worker_shape
from distspc.deployment.session import deploy


def test_a_profile_file_is_plain_dask_configuration(tmp_path):
    import dask

    path = tmp_path / "mine.yaml"
    path.write_text("distspc: {kind: local, workers: 1}\ndistributed: {scheduler: {allowed-failures: 7}}\n")
    assert worker_shape(load_profile(path)).n_workers == 1
    before = dask.config.get("distributed.scheduler.allowed-failures")
    with deploy(path, overrides=["processes=false"]) as client:
        assert client.cluster.scheduler.allowed_failures == 7
    assert dask.config.get("distributed.scheduler.allowed-failures") == before


def test_keys_have_hyphens_and_names_of_variables_stay():
    section = {"nanny": {"pre_spawn_environ": {"OMP_NUM_THREADS": 1}}, "admin": {"tick": {"log_interval": "1s"}}}
    assert canonical(section) == {
        "nanny": {"pre-spawn-environ": {"OMP_NUM_THREADS": 1}},
        "admin": {"tick": {"log-interval": "1s"}},
    }


def test_setting_one_key_leaves_its_neighbours_alone():
    config = {"distributed": {"worker": {"memory": {"spill": False}}, "nanny": {"environ": {"A": 1}}}, "jobqueue": {}}
    assert flatten(config) == {
        "distributed.worker.memory.spill": False,
        "distributed.nanny.environ": {"A": 1},
        "jobqueue": {},
    }


@pytest.mark.parametrize(("name", "n_failures"), [("slurm-cpu", 20), ("local", 5)])
def test_a_task_that_loses_workers_is_blamed_sooner_where_jobs_end_for_few_reasons(name, n_failures):
    profile = load_profile(name)
    assert dask_config(profile)["distributed"]["scheduler"]["allowed-failures"] == n_failures
    changed = load_profile(profile, ["distributed.scheduler.allowed-failures=7"])
    assert dask_config(changed)["distributed"]["scheduler"]["allowed-failures"] == 7


def test_workers_of_ours_have_the_threads_of_their_cores_and_others_are_left_alone():
    environment = dask_config(load_profile("slurm-cpu", ["cores=3"]))["distributed"]["nanny"]["pre-spawn-environ"]
    assert environment["OMP_NUM_THREADS"] == environment["DISTSPC_THREADS"] == "3"
    theirs = dask_config(load_profile("tcp://127.0.0.1:1"))["distributed"]["nanny"]["pre-spawn-environ"]
    assert "DISTSPC_THREADS" not in theirs
