"""What a worker process sees of itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from distspc.errors import InputError
from distspc.testing.workers import blas_threads, crash_once, fill_memory, import_module, process_info, refuse


def test_a_process_says_its_job_and_gpus(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    info = process_info()
    assert (info["job"], info["gpus"], info["pid"]) == ("7", "1", os.getpid())


def test_threads_are_those_in_use_and_those_assigned(monkeypatch):
    monkeypatch.setenv("DISTSPC_THREADS", "3")
    seen = blas_threads()
    assert seen["assigned"] == 3
    assert seen["blas"] >= 1


def test_a_crash_ends_the_process_with_its_code():
    code = "from distspc.testing.workers import crash; crash(7)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 7


def test_a_refusal_is_counted(tmp_path):
    for n_calls in (1, 2):
        with pytest.raises(InputError, match="no input is good enough"):
            refuse(str(tmp_path / "log"))
        assert len((tmp_path / "log").read_text().splitlines()) == n_calls


def test_a_second_call_after_a_crash_succeeds(tmp_path):
    log = tmp_path / "log"
    code = "import sys; from distspc.testing.workers import crash_once; crash_once(sys.argv[1])"
    assert subprocess.run([sys.executable, "-c", code, log]).returncode == 1
    assert crash_once(str(log)) == 2


def test_a_module_is_there_or_not():
    assert import_module("json") == "json"
    with pytest.raises(ModuleNotFoundError):
        import_module("no_such_module")


def test_memory_is_held_and_let_go():
    assert fill_memory(2**10, 0) is None
