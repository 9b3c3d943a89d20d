"""A watch over the jobs of a cluster: what is lost is replaced; where that is no cure, the cluster is given up."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from distspc.deployment.batch.job_classes import JobHistory
from distspc.deployment.batch.slurm import queued_jobs
from distspc.deployment.failures import last_log_error
from distspc.messages import counted

logger = logging.getLogger(__name__)

MAX_MISSES = 2
"""Looks at the queue in a row that must miss a job before it counts as gone."""
REFUSALS = 3
"""Refusals in a row, with no job left, after which the cluster is given up."""


class Watch:
    """Looks at the queue now and then, within the event loop of the cluster.

    Dask replaces a worker that was there and is lost. It does not notice a job that ends before its worker
    connects, nor one that the queue refuses; this does, and gives up with a reason where replacing is no cure.
    """

    def __init__(self, cluster: Any, record: JobHistory, *, poll_s: float, log_directory: Path) -> None:
        self.cluster, self.record = cluster, record
        self.poll_s, self.log_directory = poll_s, log_directory
        self._misses: Counter[Any] = Counter()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, from any thread."""
        self.cluster.loop.add_callback(self._begin)

    def stop(self) -> None:
        """End, from any thread."""
        if self._task is not None:
            self.cluster.loop.add_callback(self._task.cancel)

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.poll_s)
            try:
                await self._look()
            except Exception:
                logger.warning("looking at the queue failed; trying again", exc_info=True)

    async def _look(self) -> None:
        queued = await asyncio.to_thread(queued_jobs)
        connected = {str(worker.name) for worker in self.cluster.scheduler.workers.values()}
        if connected:
            self.record.vanished.clear()
        for name, job in list(self.cluster.workers.items()):
            if str(name) in connected or not _gone(job, queued):
                self._misses.pop(name, None)
                continue
            self._misses[name] += 1
            if self._misses[name] >= (1 if job.refused else MAX_MISSES):
                await self._drop(name, job)
        reason = self._fatal_reason(connected, queued)
        if reason and self.record.failure is None:
            self._give_up(reason)

    async def _drop(self, name: Any, job: Any) -> None:
        """Forget a job that is gone; the cluster, short of one, then asks for another."""
        del self._misses[name]
        if not job.refused:
            self.record.vanished.append(job.job_id)
            logger.warning("job %s ended before its worker connected; asking for another", job.job_id)
        self.cluster.workers.pop(name, None)
        await job.close()

    def _fatal_reason(self, connected: set[str], queued: set[str] | None) -> str | None:
        record = self.record
        if connected or (queued and queued & set(record.submitted)):
            return None
        if len(record.refusals) >= REFUSALS:
            return f"the queue refuses the jobs: {record.refusals[-1]}"
        if len(record.vanished) >= max(3, len(self.cluster.worker_spec) + 1):
            last_error = last_log_error(self.log_directory, record.vanished)
            return f"{counted(len(record.vanished), 'job')} ended before their workers connected; {last_error}"
        return None

    def _give_up(self, reason: str) -> None:
        self.record.failure = reason
        scheduler = self.cluster.scheduler
        for client in list(scheduler.clients.values()):
            keys = [task.key for task in client.wants_what]
            scheduler.stimulus_cancel(keys, client.client_key, force=False, reason="the cluster failed", msg=reason)


def _gone(job: Any, queued: set[str] | None) -> bool:
    if job.refused:
        return True
    return queued is not None and job.job_id is not None and job.job_id not in queued
