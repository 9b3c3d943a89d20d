"""A cluster on this machine: worker processes that listen on 127.0.0.1 only."""

from __future__ import annotations

import asyncio
import atexit
import gc
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from distspc.deployment.dashboard import free_dashboard, port_may_be_taken
from distspc.deployment.profile.settings import Profile
from distspc.deployment.profile.shape import WorkerShape, gpu_ids, worker_environment, worker_shape
from distspc.deployment.shutdown import cluster_closed
from distspc.errors import WorkerError
from distspc.messages import counted

if TYPE_CHECKING:
    from distributed import Client, LocalCluster


logger = logging.getLogger(__name__)

START_S = 120.0
REPLACE_S = 1.0


@contextmanager
def local_client(profile: Profile, *, name: str) -> Iterator[Client]:
    """Open a client on a new LocalCluster.

    Raises
    ------
    WorkerError
        If the workers do not start in time.
    """
    from distributed import Client

    shape = worker_shape(profile)
    with port_may_be_taken():
        cluster = _cluster(profile, shape, name)
    with (
        _limited(profile, shape.cores),
        cluster_closed(cluster, profile.settings.timeouts.close),
        replace_lost_workers(cluster),
        Client(cluster) as client,
    ):
        resource_tracker.ensure_running()  # to start it, Python lets the thread take interrupts again
        client.loop.add_callback(_keep_interrupts_from_children)
        if profile.settings.processes:
            client.register_plugin(QuietEnd())
        cluster.scale(shape.n_workers)
        _wait_for_workers(client, shape.n_workers, profile.settings.timeouts.start or START_S)
        if profile.settings.processes:  # they end without looking for what could be freed: with TensorFlow a second
            client.run(atexit.register, gc.freeze, on_error="ignore")
        yield client


def _keep_interrupts_from_children() -> None:
    """Leave Ctrl-C, which a terminal sends to the whole process group, to the command: it ends its workers itself.

    Runs in the thread of Dask's loop, whose nannies start the workers, also anew: they inherit what it does not take.
    """
    if threading.current_thread() is not threading.main_thread():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _wait_for_workers(client: Client, n_workers: int, timeout: float) -> None:
    try:
        client.wait_for_workers(n_workers, timeout=timeout)
    except TimeoutError:
        raise WorkerError(
            f"{counted(n_workers, 'local worker')} did not start within {timeout:.0f} s: set `timeouts.start` higher, "
            "or see the messages of the workers above; a script needs `if __name__ == '__main__':` around its work"
        ) from None


class QuietEnd(WorkerPlugin):
    """Keeps a worker silent about a heartbeat that crosses the end of its scheduler, which lives in the command."""

    name = "distspc-quiet-end"

    def setup(self, worker: Any) -> None:
        """Leave it out of the worker's log."""
        logging.getLogger("distributed.worker").addFilter(_is_no_lost_heartbeat)


def _is_no_lost_heartbeat(record: logging.LogRecord) -> bool:
    return "communicate with scheduler during heartbeat" not in record.getMessage()


@contextmanager
def replace_lost_workers(cluster: Any) -> Iterator[None]:
    """Inside this block a local worker that is gone for good is replaced.

    A nanny starts its worker anew, but ends when that fails, and Dask ends it when the worker is away for longer
    than `distributed.deploy.lost-worker-timeout` (out of memory again and again, say); nobody replaces it then.
    """
    from distributed import Status

    ended = asyncio.Event()

    async def replace() -> None:
        while not ended.is_set():
            for name, worker in list(cluster.workers.items()):
                if worker.status in (Status.failed, Status.closed):
                    cluster.workers.pop(name, None)
            if set(cluster.worker_spec) - set(cluster.workers) and not cluster._lock.locked():
                logger.info("starting a local worker in place of one that is gone")
                cluster.scale(len(cluster.worker_spec))
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), REPLACE_S)

    cluster.loop.add_callback(replace)
    try:
        yield
    finally:
        cluster.loop.add_callback(ended.set)


def _cluster(profile: Profile, shape: WorkerShape, name: str) -> LocalCluster:
    from distributed import LocalCluster

    class Workers(LocalCluster):
        """A LocalCluster that gives each worker its own GPU."""

        def new_worker_spec(self) -> dict[Any, Any]:
            return _own_gpu(super().new_worker_spec(), gpus)

    settings = profile.settings
    gpus = gpu_ids() if "GPU" in settings.resources else []
    # Started without workers: an interrupt while they start finds a cluster that can be closed.
    return Workers(
        n_workers=0,
        name=name,
        threads_per_worker=1,
        processes=settings.processes,
        memory_limit=shape.memory_nbytes,
        resources=settings.resources or None,
        host="127.0.0.1",
        protocol="tls://" if profile.tls else "tcp://",
        security=True if profile.tls else None,
        dashboard_address=free_dashboard(settings.dashboard_address),
        silence_logs=logging.ERROR,
    )


def _own_gpu(spec: dict[Any, Any], gpus: list[str]) -> dict[Any, Any]:
    if not gpus:
        return spec
    return {
        worker: {**one, "options": {**one["options"], "env": {"CUDA_VISIBLE_DEVICES": gpus[int(worker) % len(gpus)]}}}
        for worker, one in spec.items()
    }


@contextmanager
def _limited(profile: Profile, cores: int) -> Iterator[None]:
    if profile.settings.processes:
        yield
        return
    from threadpoolctl import threadpool_limits

    os.environ.update(worker_environment(cores))
    with threadpool_limits(cores):
        yield
