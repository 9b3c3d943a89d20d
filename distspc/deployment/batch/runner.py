"""One job of many tasks that is a whole cluster: scheduler, client and workers by their rank (SLURMRunner).

    srun python -m distspc.deployment.launch --profile slurm-runner -- run study.yaml

Rank 0 becomes the scheduler, rank 1 runs ``distspc run study.yaml`` at it, all others are workers. In a script of
one's own that srun starts, ``with deploy("slurm-runner") as client`` does the same: only rank 1 enters the block.
Such a script needs ``if __name__ == "__main__":``, for worker processes import it.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distspc.deployment import tls
from distspc.deployment.batch.slurm import queued_jobs
from distspc.deployment.profile.settings import Profile
from distspc.deployment.profile.shape import worker_shape
from distspc.deployment.shutdown import preserve_signal_handlers
from distspc.errors import InputError, WorkerError
from distspc.messages import counted

if TYPE_CHECKING:
    from distributed import Client


logger = logging.getLogger(__name__)

RENDEZVOUS_TIMEOUT_S = 120.0


@contextmanager
def runner_client(profile: Profile, *, log_directory: Path) -> Iterator[Client]:
    """Open a client in the task of rank 1; in all others serve, and never return.

    Raises
    ------
    InputError
        If this is not a task that srun has started.
    WorkerError
        If the other tasks are not there in time.
    """
    from distributed import Client

    folder = rendezvous_folder(log_directory)
    security = _exchange_certificates(folder, profile)
    runner = _runner(profile, folder, security)
    try:
        with Client(scheduler_file=str(folder / "scheduler.json"), security=security) as client:
            timeout = profile.settings.timeouts.start or RENDEZVOUS_TIMEOUT_S
            try:
                client.wait_for_workers(1, timeout=timeout)
            except TimeoutError:
                n_workers = worker_shape(profile).n_workers
                raise WorkerError(
                    f"none of {counted(n_workers, 'worker')} was there within {timeout:g} s; see {folder.parent}"
                ) from None
            yield client
    finally:
        runner.close()
        shutil.rmtree(folder, ignore_errors=True)


def _rank() -> int:
    try:
        return int(os.environ["SLURM_PROCID"])
    except (KeyError, ValueError):
        raise InputError(
            "profile slurm-runner is for tasks that srun starts within one job; `distspc submit STUDY.yaml "
            "--profile slurm-runner` submits such a job"
        ) from None


def rendezvous_folder(log_directory: Path) -> Path:
    """Folder in which the ranks of one run find each other: scheduler file and certificates."""
    rank = _rank()
    step = os.environ.get("SLURM_STEP_ID", "0")
    folder = log_directory / f".runner-{os.environ.get('SLURM_JOB_ID', 'x')}.{step}"
    if rank == 0:
        remove_stale_rendezvous(log_directory)
        folder.mkdir(parents=True, mode=0o700)
    return folder


def remove_stale_rendezvous(log_directory: Path) -> None:
    """Remove the rendezvous folders of jobs that were killed: those that SLURM no longer holds."""
    stale = list(log_directory.glob(".runner-*.*"))
    if not stale:
        return
    queued = queued_jobs()
    if queued is not None:
        for folder in stale:
            if folder.name.split("-")[1].split(".")[0] not in queued:
                shutil.rmtree(folder, ignore_errors=True)


def _exchange_certificates(folder: Path, profile: Profile) -> Any:
    """Rank 0 writes the certificates, the others wait for them."""
    if not profile.tls:
        return None
    if _rank() == 0:
        return tls.write_certificates(folder)
    deadline = time.monotonic() + RENDEZVOUS_TIMEOUT_S
    while not (folder / tls.READY).exists():
        if time.monotonic() > deadline:
            raise WorkerError(f"rank 0 has written no certificates to {folder} within {RENDEZVOUS_TIMEOUT_S:.0f} s")
        time.sleep(0.1)
    return tls.security(folder)


def _runner(profile: Profile, folder: Path, security: Any) -> Any:
    from distributed.core import rpc

    with preserve_signal_handlers():
        from dask_jobqueue.slurm import SLURMRunner

    class Runner(SLURMRunner):
        """SLURMRunner that ends its scheduler over TLS, too."""

        async def _start(self) -> None:
            await super()._start()
            if self.scheduler_comm is not None and security is not None:
                self.scheduler_comm = rpc(
                    self.scheduler_address, connection_args=security.get_connection_args("client")
                )

    if _rank() != 1:
        # A task that has served its time ends itself by this signal.
        signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    common = {"security": security, "protocol": "tls://" if security else "tcp://"}
    common["interface"] = profile.job.interface
    return Runner(
        scheduler_file=str(folder / "scheduler.json"),
        scheduler_options={**common, "dashboard_address": profile.settings.dashboard_address},
        worker_class="distributed.Nanny",
        worker_options={
            **common,
            "nthreads": 1,
            "memory_limit": worker_shape(profile).memory_nbytes,
            "resources": profile.settings.resources or None,
            "dashboard": False,
            "dashboard_address": "127.0.0.1:0",
        },
    )
