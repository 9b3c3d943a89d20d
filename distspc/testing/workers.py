"""What a worker process sees of itself, and ways for it to fail; runs on workers, for tests and first looks."""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path
from typing import Any

from distspc.deployment.profile.shape import worker_threads
from distspc.errors import InputError


def threads_in_use() -> dict[str, int]:
    """Threads that BLAS and TensorFlow use in this process, and the number assigned to the worker."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(worker_threads())
    tf.linalg.matmul(tf.ones((8, 8)), tf.ones((8, 8)))
    return {**blas_threads(), "tensorflow": tf.config.threading.get_intra_op_parallelism_threads()}


def blas_threads() -> dict[str, int]:
    """Threads that BLAS uses in this process, and the number assigned to the worker."""
    import numpy as np  # noqa: F401  (loads BLAS, so that threadpoolctl finds it)
    import threadpoolctl

    blas = {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
    return {"blas": max(blas), "assigned": worker_threads(default=0)}


def process_info(wait_s: float = 0.0) -> dict[str, Any]:
    """Wait, then return the job, process and GPUs that this task has run with."""
    time.sleep(wait_s)
    return {
        "job": os.environ.get("SLURM_JOB_ID"),
        "job_name": os.environ.get("SLURM_JOB_NAME"),
        "pid": os.getpid(),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "cores": os.environ.get("SLURM_CPUS_PER_TASK"),
    }


def crash(code: int = 1) -> None:
    """End the worker's process at once, as a crash does."""
    os._exit(code)


def refuse(log: str) -> None:
    """Refuse the input, and say in a file that it was looked at."""
    with Path(log).open("a") as file:
        file.write("looked at\n")
    raise InputError("no input is good enough")


def crash_once(log: str) -> int:
    """End the worker's process at the first call; returns the number of calls at later ones."""
    with Path(log).open("a") as file:
        file.write("called\n")
    n_calls = len(Path(log).read_text().splitlines())
    if n_calls == 1:
        crash()
    return n_calls


def import_module(name: str) -> str:
    """Import a module, to see whether the worker has it."""
    return importlib.import_module(name).__name__


def fill_memory(nbytes: int, wait_s: float) -> None:
    """Take memory and hold it for a while, as a task that is too large does."""
    taken = b"x" * nbytes
    time.sleep(wait_s)
    del taken
