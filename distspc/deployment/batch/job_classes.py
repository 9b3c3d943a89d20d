"""Clusters whose workers are jobs of a batch queue; with `runner` the one place that imports dask_jobqueue."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distspc.deployment import tls
from distspc.deployment.batch.jobs import job_keywords, job_name
from distspc.deployment.batch.slurm import clean_environment
from distspc.deployment.dashboard import free_dashboard
from distspc.deployment.profile.queues import Queue
from distspc.deployment.profile.settings import Profile
from distspc.deployment.shutdown import preserve_signal_handlers

logger = logging.getLogger(__name__)


@dataclass
class JobHistory:
    """What has become of the jobs of a cluster.

    Attributes
    ----------
    submitted
        Ids of all jobs that the queue took, in order.
    refusals
        The queue's words for those it did not take, since it last took one.
    vanished
        Ids of jobs that ended before their worker connected, since a worker last did.
    in_flight
        Submissions that the queue has not answered yet.
    failure
        Why the cluster has been given up, if it has.
    """

    submitted: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    in_flight: int = 0
    failure: str | None = None
    _reported: set[str] = field(default_factory=set)

    def refuse(self, message: str) -> None:
        """Record a refusal; report it, once, where the run goes on with the jobs it has."""
        self.refusals.append(message)
        if self.submitted and message not in self._reported:
            self._reported.add(message)
            logger.warning("the queue refuses a job, going on with those it took: %s", message)


def submission_error(error: Exception) -> str:
    """What the queue's own command said, out of dask-jobqueue's account of the call."""
    text = str(error)
    found = re.search(r"stderr:\n(.*)", text, re.DOTALL)
    message = found[1].strip() if found else ""
    if not message and (found := re.search(r"stdout:\n(.*?)\nstderr:", text, re.DOTALL)):
        message = found[1].strip()
    return " ".join(message.split()) or text


def job_class(queue: Queue, record: JobHistory | None = None) -> Any:
    """dask-jobqueue's job class for a queue, with its shortcomings made good.

    Jobs are submitted from an environment without the surrounding allocation's variables and in a session of
    their own (Ctrl-C must not hit a submission half-way), a refusal is kept in the queue's own words, and a
    closed job says that it is closed (otherwise closing its cluster fails or hangs).
    """
    from distributed.core import Status

    base: Any = cluster_class(queue).job_cls
    history = record if record is not None else JobHistory()

    class TrackedJob(base):
        """A job that reports how its submission went."""

        refused = False

        @property
        def worker_process_threads(self) -> int:
            # One task at a time; the job's cores are for the threads inside it.
            return 1

        async def start(self) -> None:
            history.in_flight += 1
            try:
                await super().start()
            except (RuntimeError, OSError, ValueError) as error:
                self.refused = True
                history.refuse(submission_error(error))
                raise
            finally:
                history.in_flight -= 1
            history.submitted.append(self.job_id)
            history.refusals.clear()

        async def close(self) -> None:
            await super().close()
            self.status = Status.closed

        @staticmethod
        async def _call(cmd: list[str], *, shell: bool = False, **keywords: Any) -> str:
            keywords = {"env": clean_environment(), "start_new_session": True, **keywords}
            return str(await base._call(cmd, shell=shell, **keywords))

    return TrackedJob


def cluster_class(queue: Queue) -> Any:
    """dask-jobqueue's cluster class for a queue."""
    # Importing dask_jobqueue makes Ctrl-C a silent exit of the process.
    with preserve_signal_handlers():
        import dask_jobqueue
    return getattr(dask_jobqueue, queue.cluster_class)


def make_cluster(profile: Profile, record: JobHistory, *, name: str, log_directory: Path, security: Any) -> Any:
    """Start a scheduler here for workers that are jobs; no job is submitted yet.

    The configuration of the profile must be set in Dask already.
    """
    dashboard = free_dashboard(profile.settings.dashboard_address)
    return cluster_class(profile.queue)(
        job_cls=job_class(profile.queue, record),
        name=job_name(name),
        security=security,
        scheduler_options={"dashboard_address": dashboard, **profile.job.scheduler_options},
        silence_logs=logging.ERROR,
        **job_keywords(profile, name=name, log_directory=log_directory),
    )


def script_text(
    profile: Profile,
    *,
    name: str,
    log_directory: Path,
    address: str | None = None,
    security: Any = None,
) -> str:
    """Text of the script that would be submitted for one worker; what is only known then stands in <>."""
    scheme = "tls" if profile.tls else "tcp"
    existed = log_directory.exists()
    job = job_class(profile.queue)(
        address or f"{scheme}://<scheduler>:<port>",
        name=f"{job_name(name)}-<number>",
        protocol=f"{scheme}://" if profile.tls else None,
        security=security or (tls.security(log_directory / ".tls-<run>") if profile.tls else None),
        **job_keywords(profile, name=name, log_directory=log_directory),
    )
    if not existed:  # dask-jobqueue makes the folder of the logs; looking at a script must not
        log_directory.rmdir()
    return str(job.job_script())
