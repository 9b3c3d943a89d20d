"""Clusters on this machine."""

from __future__ import annotations

import logging
import os
import signal

import pytest

from distspc.deployment.local import QuietEnd, _own_gpu
from distspc.deployment.profile.shape import worker_threads
from distspc.deployment.session import deploy
from distspc.errors import InputError
from distspc.testing.workers import blas_threads, process_info, threads_in_use

WAIT_S = 60


@pytest.mark.parametrize("processes", ["true", "false"])
def test_local_cluster_listens_here_only_and_has_one_slot_a_worker(processes):
    with deploy("local", overrides=["workers=1", "cores-per-worker=2", f"processes={processes}"]) as client:
        workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
        assert [w["nthreads"] for w in workers] == [1]
        assert {w["host"] for w in workers} == {"127.0.0.1"}
        assert client.scheduler.address.startswith("tcp://127.0.0.1:")
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3
    assert "DISTSPC_THREADS" not in os.environ


def test_threads_inside_a_worker_are_its_cores():
    with deploy("local", overrides=["workers=2", "cores-per-worker=1"]) as client:
        assert list(client.run(blas_threads).values()) == [{"blas": 1, "assigned": 1}] * 2
    with deploy("local", overrides=["workers=1", "cores-per-worker=2"]) as client:
        assert list(client.run(threads_in_use).values()) == [{"blas": 2, "assigned": 2, "tensorflow": 2}]
    assert worker_threads() == 1


def test_workers_leave_interrupts_to_the_command_also_those_started_anew():
    def taken():
        return signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())

    with deploy("local", overrides=["workers=1", "cores-per-worker=1"]) as client:
        assert list(client.run(taken).values()) == [False]
        client.restart()
        assert list(client.run(taken).values()) == [False]
        assert taken()
    with deploy("local", overrides=["workers=1", "cores-per-worker=1", "processes=false"]):
        assert taken()


def test_a_heartbeat_that_crosses_the_end_is_not_logged(caplog):
    log = logging.getLogger("distributed.worker")
    filters = list(log.filters)
    try:
        QuietEnd().setup(None)
        log.error("Failed to communicate with scheduler during heartbeat.")
        log.error("Unexpected exception during heartbeat. Closing worker.")
    finally:
        log.filters[:] = filters
    assert [one.getMessage() for one in caplog.records] == ["Unexpected exception during heartbeat. Closing worker."]


def test_each_gpu_worker_sees_its_own_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    with deploy("local-gpu") as client:
        assert sorted(one["gpus"] for one in client.run(process_info).values()) == ["4", "6"]
        offers = [worker["resources"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        assert offers == [{"GPU": 1}] * 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError, match="no GPU found on this machine"), deploy("local-gpu"):
        pass


@pytest.mark.faults
def test_a_local_worker_that_is_gone_for_good_is_replaced(until):
    with deploy("local", overrides=["workers=2", "cores-per-worker=1"]) as client:
        until(lambda: len(client.cluster.workers) == 2)  # workers connect before the cluster has them in its books
        name, nanny = next(iter(client.cluster.workers.items()))
        client.cluster.sync(nanny.close)
        until(lambda: client.cluster.workers.get(name) not in (None, nanny))
        client.wait_for_workers(2, timeout=WAIT_S)
        assert client.submit(sum, [1, 2]).result(timeout=WAIT_S) == 3


def test_workers_beyond_the_gpus_share_them():
    spec = {number: {"cls": "Nanny", "options": {"nthreads": 1}} for number in range(3)}
    shared = [one["options"]["env"]["CUDA_VISIBLE_DEVICES"] for one in _own_gpu(spec, ["4", "6"]).values()]
    assert shared == ["4", "6", "4"]
    assert _own_gpu(spec, []) == spec


def test_worker_processes_end_without_looking_for_what_could_be_freed(tmp_path):
    path = tmp_path / "frozen"
    code = f"""
import builtins, gc, os
class Last:
    def __del__(self, os=os, gc=gc):
        os.write(os.open({str(path)!r}, os.O_WRONLY | os.O_CREAT, 0o600), b"%d" % gc.get_freeze_count())
builtins.last = Last()
"""
    with deploy("local", overrides=["workers=1"]) as client:
        client.run(exec, code, {})
    assert int(path.read_text()) > 0
