"""Ctrl-C in a terminal, which reaches the command and all its workers at once."""

import os
import signal
import time

import pytest

pytestmark = pytest.mark.faults
WORKERS = ("--set", "workers=2", "--set", "cores-per-worker=1")


@pytest.fixture
def interruptible():
    """What a shell starts in the background ignores Ctrl-C, and so would all that these tests start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def are_starting(study, process):
    return study.workers_of(process)


def have_results(study, process):
    return list((study.store / "distances/distance/c").rglob("*[0-9]"))


@pytest.mark.parametrize("moment", [are_starting, have_results])
def test_one_sentence_and_the_next_run_goes_on(study, finished, interruptible, moment):
    process = study.start("run", study.file, *WORKERS)
    deadline = time.monotonic() + 120
    while not moment(study, process):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the moment has not come"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    ended = study.end(process)
    assert ended.code == 130, ended.err
    assert ended.err.splitlines()[-1] == "stopped; what is done is kept: run the same command again to continue"
    assert "Traceback" not in ended.err, ended.err
    assert "KeyboardInterrupt" not in ended.err, ended.err
    again = study.run(*WORKERS)
    assert again.code == 0, again.err
    assert study.digests() == finished.digests()
    assert study.left_over() == []
