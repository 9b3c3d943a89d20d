"""How many workers a profile has and what each of them has; how a local cluster divides this machine."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distspc.errors import InputError
from distspc.messages import counted, format_nbytes

if TYPE_CHECKING:
    from distspc.deployment.profile.settings import Profile, ProfileSettings


logger = logging.getLogger(__name__)

MIN_WORKER_NBYTES = 3 * 2**30
"""Fewer workers rather than less memory for each: extraction of all layers of VGG-16 does not fit into 2 GiB."""

THREAD_VARIABLES = (
    "DISTSPC_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20),
    "MALLOC_ARENA_MAX": "1",
}
"""Dask has workers give memory back from 64 KiB on, which also stops glibc from learning that arrays of some MB come
and go: each would be new pages that the system clears first. Measured on distance tiles: reading 1.6, sieving 2.5,
rescoring 3.8 times as slow; writing activations took 8 ms more an image. What is kept serves
all threads: with an arena each, those that read chunks kept 60 MiB of a wide layer that nothing else could use."""


@dataclass(frozen=True)
class WorkerShape:
    """Number of workers, cores of each, memory of each in bytes."""

    n_workers: int
    cores: int
    memory_nbytes: int


def worker_environment(cores: int) -> dict[str, str]:
    """Environment of a worker process that uses `cores` threads: one task at a time has them all.

    A worker has one Dask thread slot; NumPy's BLAS, OpenMP and TensorFlow inside the task use `cores` threads.
    glibc keeps the memory of arrays up to 32 MiB for the next ones.
    """
    return {**dict.fromkeys(THREAD_VARIABLES, str(cores)), "TF_NUM_INTEROP_THREADS": "1", **ALLOCATOR}


def worker_threads(default: int = 1) -> int:
    """Threads that a task on this worker may use (``DISTSPC_THREADS``); `default` outside a worker."""
    return int(os.environ.get("DISTSPC_THREADS") or default)


def gpu_ids() -> list[str]:
    """GPUs of this machine that this process may use, by CUDA's numbering."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [part.strip() for part in visible.split(",") if part.strip() not in ("", "-1", "NoDevFiles")]
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]
    return [str(i) for i in range(len(lines))] if listing.returncode == 0 else []


def has_gpu(profile: Profile) -> bool:
    """Whether workers of a profile have a GPU: the profile names it, or they are on this machine and it has one."""
    return "GPU" in profile.settings.resources or (profile.kind == "local" and bool(gpu_ids()))


def worker_shape(profile: Profile) -> WorkerShape:
    """Workers of a profile, and the cores and memory of each.

    What a local profile leaves at ``auto`` follows this machine; for a profile of GPUs nvidia-smi is asked.

    Raises
    ------
    InputError
        If local workers together need more memory than the machine has, or a GPU is asked for and there is none.
    """
    if profile.submits_jobs:
        return WorkerShape(int(profile.settings.workers), profile.job.cores, profile.job.memory.nbytes)
    return _local_shape(profile.settings)


def _local_shape(settings: ProfileSettings) -> WorkerShape:
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    n_workers = _auto_workers(settings, CPU_COUNT, MEMORY_LIMIT) if settings.workers == "auto" else settings.workers
    cores = max(1, CPU_COUNT // n_workers) if settings.cores_per_worker == "auto" else settings.cores_per_worker
    memory = settings.memory_per_worker
    nbytes = MEMORY_LIMIT // n_workers if memory == "auto" else memory.nbytes
    if nbytes * n_workers > MEMORY_LIMIT:
        raise InputError(
            f"{counted(n_workers, 'worker')} with memory-per-worker {memory} {'needs' if n_workers == 1 else 'need'} "
            f"{format_nbytes(nbytes * n_workers)}; "
            f"this machine has {format_nbytes(MEMORY_LIMIT)}: lower `workers` or `memory-per-worker`"
        )
    if n_workers * cores > CPU_COUNT:
        logger.warning("%s x %s on a machine with %d", counted(n_workers, "worker"), counted(cores, "core"), CPU_COUNT)
    return WorkerShape(n_workers, cores, nbytes)


def _auto_workers(settings: ProfileSettings, n_cores: int, nbytes: int) -> int:
    if "GPU" in settings.resources:
        n_gpus = len(gpu_ids())
        if n_gpus == 0:
            raise InputError("no GPU found on this machine (nvidia-smi lists none); use --profile local")
        return n_gpus
    cores = 1 if settings.cores_per_worker == "auto" else settings.cores_per_worker
    memory = settings.memory_per_worker
    return max(1, min(n_cores // cores, nbytes // (MIN_WORKER_NBYTES if memory == "auto" else memory.nbytes)))
