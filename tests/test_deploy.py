"""Profiles, local clusters, job scripts."""

from __future__ import annotations

from operator import itemgetter

import pytest

from distspc.deploy import deploy, worker_threads
from distspc.deploy.inside import threads_in_use


@pytest.mark.parametrize("processes", ["true", "false"])
def test_local_cluster_listens_here_only_and_has_one_slot_a_worker(processes):
    with deploy("local", overrides=["workers=1", "cores-per-worker=2", f"processes={processes}"]) as client:
        workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
        assert [w["nthreads"] for w in workers] == [1]
        assert {w["host"] for w in workers} == {"127.0.0.1"}
        assert client.scheduler.address.startswith("tcp://127.0.0.1:")
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3


@pytest.mark.parametrize(("workers", "cores"), [(2, 1), (1, 2)])
def test_threads_of_numpy_and_tensorflow_inside_a_worker_are_its_cores(workers, cores):
    with deploy("local", overrides=[f"workers={workers}", f"cores-per-worker={cores}"]) as client:
        seen = list(client.run(threads_in_use).values())
    assert len(seen) == workers
    assert set(map(itemgetter("blas"), seen)) == {cores}
    assert set(map(itemgetter("tensorflow"), seen)) == {cores}
    assert set(map(itemgetter("told"), seen)) == {cores}
    assert worker_threads() == 1
