"""How many workers a profile has, and what each of them has."""

from __future__ import annotations

import subprocess
import sys

import pytest

from distspc.deployment.profile import shape
from distspc.deployment.profile.reading import load_profile
from distspc.deployment.profile.shape import (
    MIN_WORKER_NBYTES,
    WorkerShape,
    gpu_ids,
    has_gpu,
    worker_environment,
    worker_shape,
    worker_threads,
)
from distspc.errors import InputError


def test_a_machine_is_not_given_more_memory_than_it_has():
    profile = load_profile("local", ["workers=3", "memory-per-worker=60 TiB"])
    with pytest.raises(InputError, match=r"3 workers with memory-per-worker 60 TiB need .* this machine has"):
        worker_shape(profile)


def test_profiles_need_neither_dask_jobqueue_nor_tensorflow():
    code = (
        "import sys; from distspc import load_profile; from distspc.deployment.profile.shape import worker_shape; "
        "worker_shape(load_profile('slurm-cpu')); "
        "assert not {'dask_jobqueue', 'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_shape_of_jobs_is_what_the_profile_says_and_starts_no_program(monkeypatch):
    def never(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr(shape.subprocess, "run", never)
    assert worker_shape(load_profile("slurm-gpu")) == WorkerShape(n_workers=2, cores=4, memory_nbytes=16 * 2**30)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], WorkerShape(4, 2, 3 * 2**30)),
        (["workers=2"], WorkerShape(2, 4, 6 * 2**30)),
        (["cores-per-worker=4"], WorkerShape(2, 4, 6 * 2**30)),
        (["memory-per-worker=6 GiB"], WorkerShape(2, 4, 6 * 2**30)),
        (["workers=3", "cores-per-worker=1", "memory-per-worker=1 GiB"], WorkerShape(3, 1, 2**30)),
    ],
)
def test_local_workers_divide_the_machine(monkeypatch, overrides, expected):
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 4 * MIN_WORKER_NBYTES)
    assert worker_shape(load_profile("local", overrides)) == expected


def test_more_cores_than_the_machine_has_are_logged(monkeypatch, caplog):
    monkeypatch.setattr("dask.system.CPU_COUNT", 2)
    worker_shape(load_profile("local", ["workers=1", "cores-per-worker=3", "memory-per-worker=0.25 GiB"]))
    assert "1 worker x 3 cores on a machine with 2" in caplog.text


@pytest.mark.parametrize(
    ("visible", "ids"), [("0,2", ["0", "2"]), ("", []), ("-1", []), ("GPU-7f, GPU-8a", ["GPU-7f", "GPU-8a"])]
)
def test_gpus_are_those_that_this_process_may_use(monkeypatch, visible, ids):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_ids() == ids


@pytest.mark.parametrize(("code", "ids"), [(0, ["0", "1"]), (9, [])])
def test_gpus_are_counted_by_nvidia_smi(monkeypatch, tmp_path, code, ids):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho 'GPU 0: one'\necho '  MIG 0'\necho 'GPU 1: two'\nexit {code}\n")
    program.chmod(0o755)
    assert gpu_ids() == ids


def test_without_nvidia_smi_there_are_no_gpus(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_ids() == []


def test_workers_have_a_gpu_by_their_profile_or_by_this_machine(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [has_gpu(load_profile(name)) for name in ("local", "local-gpu", "slurm-cpu", "slurm-gpu")] == [
        False, True, False, True,
    ]  # fmt: skip
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert [has_gpu(load_profile(name)) for name in ("local", "slurm-cpu")] == [True, False]


def test_a_task_has_all_threads_of_its_worker(monkeypatch):
    environment = worker_environment(6)
    assert {environment[name] for name in shape.THREAD_VARIABLES} == {"6"}
    assert environment["MALLOC_ARENA_MAX"] == "1"
    monkeypatch.setenv("DISTSPC_THREADS", environment["DISTSPC_THREADS"])
    assert worker_threads() == 6
    monkeypatch.delenv("DISTSPC_THREADS")
    assert worker_threads(default=3) == 3
