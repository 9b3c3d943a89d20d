"""Signals around a cluster, and libraries that would change their handlers."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading

import pytest

from distspc.deployment.shutdown import (
    cluster_closed,
    defer_signals,
    preserve_signal_handlers,
    terminate_like_interrupt,
)


@pytest.fixture(autouse=True)
def nobodys_handlers():
    """Signals as a new process has them: the command line, run in this process by another test, keeps its own."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in names}
    for number, handler in zip(names, (signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL), strict=True):
        signal.signal(number, handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_importing_dask_jobqueue_leaves_ctrl_c_as_it_was():
    code = (
        "import signal; from distspc import job_script; before = signal.getsignal(signal.SIGINT); "
        "job_script('slurm-cpu'); assert signal.getsignal(signal.SIGINT) is before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_dask_jobqueue_in_a_thread_loses_no_handler_that_the_main_thread_sets():
    code = """
import builtins, signal, threading
from distspc.deployment.shutdown import preserve_signal_handlers
inside, done = threading.Event(), threading.Event()
def load():
    with preserve_signal_handlers():
        inside.set()
        assert done.wait(30)
        import dask_jobqueue
thread = threading.Thread(target=load)
thread.start()
assert inside.wait(30)
ours = lambda *_: None
signal.signal(signal.SIGINT, ours)
done.set()
thread.join(60)
assert signal.getsignal(signal.SIGINT) is ours
assert signal.signal.__name__ == "signal"
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_unwinds_the_stack(number):
    with pytest.raises(SystemExit) as caught, terminate_like_interrupt():
        signal.raise_signal(number)
    assert caught.value.code == 128 + number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_handler_of_the_user_is_left_in_place():
    def handle(*_):
        pass

    signal.signal(signal.SIGTERM, handle)
    try:
        with terminate_like_interrupt():
            assert signal.getsignal(signal.SIGTERM) is handle
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_signals_wait_while_the_workers_are_ended(caplog):
    before, done = signal.getsignal(signal.SIGINT), []

    def end():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        done.append("all of it")

    with pytest.raises(KeyboardInterrupt), defer_signals("ending the workers"):
        end()
    assert done == ["all of it"]
    assert caplog.messages == ["ending the workers; please wait"] * 2
    assert signal.getsignal(signal.SIGINT) is before


def test_in_a_thread_signals_are_left_alone():
    handlers = []

    def work():
        with terminate_like_interrupt(), defer_signals("nothing"):
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]


def test_a_handler_that_an_import_replaces_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    with preserve_signal_handlers():
        signal.signal(signal.SIGINT, lambda *_: None)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_cluster_is_closed_in_time_whatever_comes():
    class Cluster:
        timeout_s = None

        def close(self, timeout):
            self.timeout_s = timeout
            assert not logging.getLogger("distributed.nanny").isEnabledFor(logging.WARNING)

    cluster, level = Cluster(), logging.getLogger("distributed.nanny").level
    with pytest.raises(ValueError, match="mine"), cluster_closed(cluster, 7):
        raise ValueError("mine")
    assert cluster.timeout_s == 7
    assert logging.getLogger("distributed.nanny").level == level
