"""The context manager that turns a profile into a client, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from distspc.deployment.profile.shape import THREAD_VARIABLES
from distspc.deployment.session import deploy

WAIT_S = 60


def test_errors_of_the_work_itself_pass_as_they_are():
    with (
        pytest.raises(TypeError, match="unsupported operand"),
        deploy("local", overrides=["workers=1", "processes=false"]) as client,
    ):
        client.submit(sum, ["a"]).result(timeout=WAIT_S)


SCRIPT = """
import signal
from distspc import deploy
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & ignores Ctrl-C
    with deploy("local", overrides=["workers=2", "cores-per-worker=1"]) as client:
        futures = client.map(__import__("time").sleep, [60] * 4, pure=False)
        print(*client.run(__import__("os").getpid).values(), flush=True)
        client.gather(futures)
"""


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_script_leaves_no_process(tmp_path, number):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, script], start_new_session=True, **pipes) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 2
        os.killpg(process.pid, number)
        _, shown = process.communicate(timeout=WAIT_S)
        assert process.returncode != 0
    assert shown.count("KeyboardInterrupt") == (number == signal.SIGINT), shown  # that of the script, none of workers
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def test_the_environment_and_the_configuration_are_put_back(monkeypatch):
    import dask

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    interval = dask.config.get("distributed.admin.tick.interval")
    with deploy("local", overrides=["workers=1", "cores-per-worker=1", "processes=false"]) as client:
        assert os.environ["OMP_NUM_THREADS"] == "1"
        assert dask.config.get("distributed.admin.tick.interval") == "500ms"
        assert client.submit(sum, [1, 2]).result(timeout=WAIT_S) == 3
    assert {name: os.environ.get(name) for name in THREAD_VARIABLES} == before
    assert dask.config.get("distributed.admin.tick.interval") == interval


def test_an_error_of_the_user_ends_the_cluster():
    with (
        pytest.raises(ValueError, match="mine"),
        deploy("local", overrides=["workers=1", "processes=false"]) as client,
    ):
        raise ValueError("mine")
    assert client.status == "closed"
