"""Tests of `distspc.store.access`."""

import os
import subprocess
import sys

import pytest

from distspc.errors import StoreBusyError
from distspc.store.access import lock


def test_second_run_on_a_store_is_refused_and_told_who_holds_it(tmp_path):
    path = tmp_path / "s.zarr"
    with (
        lock(path),
        pytest.raises(StoreBusyError, match=rf"in use by process {os.getpid()} on "),
        lock(path),
    ):
        raise AssertionError("two runs hold one store")
    assert not (tmp_path / "s.zarr.lock").exists()


def test_lock_left_by_a_dead_process_does_not_block(tmp_path):
    path = tmp_path / "s.zarr"
    code = f"import os\nfrom distspc.store.access import lock\nwith lock({str(path)!r}):\n    os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert (tmp_path / "s.zarr.lock").exists()
    with lock(path):
        pass
