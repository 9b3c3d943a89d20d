"""A client on workers that are jobs of a batch queue: kept at their number, and gone from the queue at the end."""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distspc.deployment.batch.job_classes import JobHistory, make_cluster, script_text
from distspc.deployment.batch.jobs import checked_folder
from distspc.deployment.batch.slurm import COMMAND_S, clean_environment, queue_lines, sbatch_error
from distspc.deployment.batch.watch import Watch
from distspc.deployment.dashboard import port_may_be_taken
from distspc.deployment.profile.settings import Profile
from distspc.deployment.profile.shape import worker_shape
from distspc.deployment.shutdown import cluster_closed, defer_signals
from distspc.deployment.tls import certificate_folder, write_certificates
from distspc.errors import InputError, WorkerError

if TYPE_CHECKING:
    from distributed import Client


logger = logging.getLogger(__name__)

SUBMIT_S = 60.0
"""Seconds for the queue to take or refuse the first job."""
REPORT_S = 30.0
"""Seconds between two messages about jobs that wait."""


@contextmanager
def queue_client(profile: Profile, *, name: str, log_directory: Path) -> Iterator[Client]:
    """Open a client on jobs of a batch queue.

    Raises
    ------
    InputError
        If the queue's commands are missing, or it refuses the job: in its own words.
    WorkerError
        If jobs start but none of their workers connects.
    """
    from distributed import Client

    check_queue(profile, name=name, log_directory=log_directory)
    record = JobHistory()
    with ExitStack() as stack:
        security = None
        if profile.tls:
            parent = Path(profile.job.shared_temp_directory or log_directory).expanduser()
            security = write_certificates(stack.enter_context(certificate_folder(checked_folder(parent))))
        stack.enter_context(_queue_left_empty(profile, record))
        with port_may_be_taken():
            cluster = make_cluster(profile, record, name=name, log_directory=log_directory, security=security)
        stack.enter_context(cluster_closed(cluster, profile.settings.timeouts.close))
        cluster.distspc_record, cluster.distspc_logs = record, log_directory
        cluster.distspc_shape = worker_shape(profile)
        client = stack.enter_context(Client(cluster))
        if profile.queue.answers:
            watch = Watch(cluster, record, poll_s=profile.settings.timeouts.poll, log_directory=log_directory)
            watch.start()
            stack.callback(watch.stop)
        maintain_jobs(cluster, profile)
        _wait(profile, client, record)
        yield client


def maintain_jobs(cluster: Any, profile: Profile) -> None:
    """Ask for the profile's jobs: between its bounds, or as many as it says, each replaced when it is lost."""
    adapt = profile.settings.adapt
    # Equal bounds, for a plain scale() never replaces a lost job.
    n_workers = worker_shape(profile).n_workers
    low, high = (adapt.minimum, adapt.maximum) if adapt else (n_workers, n_workers)
    cluster.adapt(minimum=low, maximum=high)


def check_queue(profile: Profile, *, name: str, log_directory: Path) -> None:
    """Refuse what the queue would refuse, before anything is started.

    Raises
    ------
    InputError
        With the queue's own words.
    """
    command = profile.queue.submit_command
    if shutil.which(command) is None:
        raise InputError(
            f"there is no {command} on this machine: profile {profile.name} submits jobs, so run it where the queue's "
            "commands are (a login node), or take --profile local"
        )
    if profile.queue.answers:
        refusal = sbatch_error(script_text(profile, name=name, log_directory=log_directory))
        if refusal:
            raise InputError(f"SLURM refuses the job of profile {profile.name}: {refusal}")


# ---------------------------------------------------------------- waiting


def _wait(profile: Profile, client: Client, record: JobHistory) -> None:
    """Wait until the queue has taken a job, and until a worker is there (unless none need be)."""
    settings = profile.settings
    begun = reported = time.monotonic()
    while not _workers(client) and (settings.adapt is None or settings.adapt.minimum > 0):
        now = time.monotonic()
        _raise_trouble(profile, record, waited_s=now - begun)
        if settings.timeouts.start is not None and now - begun > settings.timeouts.start:
            raise WorkerError(
                f"no worker of profile {profile.name} within {settings.timeouts.start:g} s; "
                f"{waiting_jobs(profile, record)}. "
                "Set `timeouts.start` higher, or to null to wait as long as the queue takes"
            )
        if now - reported > REPORT_S:
            reported = now
            logger.warning("waiting for a worker; %s", waiting_jobs(profile, record))
        time.sleep(0.1)


def _workers(client: Client) -> int:
    return len(client.cluster.scheduler.workers)


def _raise_trouble(profile: Profile, record: JobHistory, *, waited_s: float) -> None:
    if record.failure:
        raise WorkerError(record.failure)
    if record.submitted:
        return
    if record.refusals and not record.in_flight:
        raise InputError(f"the queue refuses the job of profile {profile.name}: {record.refusals[0]}")
    if waited_s > SUBMIT_S:
        raise WorkerError(f"{profile.queue.submit_command} has not answered for {SUBMIT_S:.0f} s")


def waiting_jobs(profile: Profile, record: JobHistory) -> str:
    """What the queue says about these jobs, in one line."""
    if not profile.queue.answers:
        return f"jobs submitted: {', '.join(record.submitted) or 'none'}"
    lines = queue_lines(record.submitted, "%A %T (%r)")
    return "jobs in the queue: " + (", ".join(lines) if lines else "none")


# ---------------------------------------------------------------- the end


@contextmanager
def _queue_left_empty(profile: Profile, record: JobHistory) -> Iterator[None]:
    """At the end of the block cancel every job that was ever submitted in it, and wait until they are gone."""
    try:
        yield
    finally:
        with defer_signals("taking the jobs out of the queue"):
            _cancel(profile, record)


def _cancel(profile: Profile, record: JobHistory) -> None:
    if not profile.queue.answers or not record.submitted:
        return  # the other queues' jobs are cancelled one by one when the cluster closes
    deadline = time.monotonic() + profile.settings.timeouts.close
    while (left := queue_lines(record.submitted)) and time.monotonic() < deadline:
        subprocess.run(["scancel", *left], capture_output=True, env=clean_environment(), check=False, timeout=COMMAND_S)
        time.sleep(0.3)
    if left:
        logger.warning("still in the queue: %s; `scancel %s` takes them out", ", ".join(left), " ".join(left))
