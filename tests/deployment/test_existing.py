"""Schedulers that somebody else runs."""

from __future__ import annotations

import pytest

from distspc.deployment.existing import _hint
from distspc.deployment.session import deploy
from distspc.errors import InputError, WorkerError

WAIT_S = 60


def test_an_address_and_a_scheduler_file_are_profiles_and_are_left_running(tmp_path):
    with deploy("local", overrides=["workers=1", "processes=false"]) as owner:
        path = tmp_path / "scheduler.json"
        owner.write_scheduler_file(str(path))
        for place in (owner.scheduler.address, str(path)):
            with deploy(place) as client:
                assert client.cluster is None
                assert client.submit(sum, [1, 2]).result(timeout=WAIT_S) == 3
        assert owner.submit(sum, [3, 4]).result(timeout=WAIT_S) == 7


def test_a_scheduler_without_workers_or_answer_is_told(tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, processes=False, dashboard_address=None, protocol="tcp://") as cluster:
        path = tmp_path / "mine.yaml"
        path.write_text(f"distspc: {{kind: address, address: '{cluster.scheduler_address}', timeouts: {{start: 0.5}}}}")
        with pytest.raises(WorkerError, match=r"has had no worker for 0\.5 s"), deploy(path):
            pass
    with pytest.raises(InputError, match="no scheduler answers at tcp://"), deploy(path):
        pass
    with pytest.raises(InputError, match="there is no scheduler file"), deploy(tmp_path / "nowhere.json"):
        pass


@pytest.mark.parametrize("text", ["{not json", "[]", "{}", '{"address": 3}', '{"address": "nowhere"}'])
def test_a_scheduler_file_without_an_address_is_refused(tmp_path, text):
    path = tmp_path / "scheduler.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"scheduler\.json names no address: start `dask scheduler"), deploy(path):
        pass


def test_who_has_no_certificate_is_told_where_to_name_it():
    assert "distributed.comm.tls (ca-file, client.cert and client.key)" in _hint("tls://a:1")
    assert _hint("tcp://a:1") == ""
