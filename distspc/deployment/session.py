"""The context manager that turns a profile into a client, and leaves nothing behind."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distspc.deployment.failures import explain_failure, log_tail
from distspc.deployment.profile.dask_config import dask_config, flatten
from distspc.deployment.profile.queues import QUEUES
from distspc.deployment.profile.reading import load_profile
from distspc.deployment.profile.settings import Profile
from distspc.deployment.profile.shape import THREAD_VARIABLES, worker_environment
from distspc.deployment.shutdown import terminate_like_interrupt

if TYPE_CHECKING:
    from distributed import Client


logger = logging.getLogger(__name__)


@contextmanager
def deploy(
    profile: str | Path | Profile = "local",
    *,
    overrides: Sequence[str] = (),
    name: str = "distspc",
    log_directory: str | Path | None = None,
) -> Iterator[Client]:
    """Open a Dask client on the cluster that a profile describes; end the cluster at the end of the block.

    Parameters
    ----------
    profile
        Name of a shipped profile, path of a profile, address of a scheduler, path of a scheduler file.
    overrides
        ``key=value`` each, see `load_profile`.
    name
        Name of the jobs in the queue, such as ``study-extract``.
    log_directory
        Folder of the job logs where the profile's `log-directory` names none; by default ``distspc-logs`` here.

    Yields
    ------
    distributed.Client
        Connected, with at least one worker there (unless the profile adapts down to none). `client.cluster`
        is Dask's cluster object, or None for a scheduler that was there before.

    Raises
    ------
    InputError
        If the profile cannot be used, or the queue refuses the job: in the queue's own words.
    WorkerError
        If the workers failed: one sentence, with the path of the log.
    """
    loaded = load_profile(profile, overrides)
    logs = _log_directory(loaded, log_directory)
    with ExitStack() as stack:
        stack.enter_context(_environment_kept())
        if loaded.kind != "address":
            for variable in THREAD_VARIABLES:  # Dask's nanny would put them above what the profile says
                os.environ.pop(variable, None)
        stack.enter_context(terminate_like_interrupt())
        client = stack.enter_context(_open(loaded, name, logs))
        logger.info("%s: %s", loaded.name, client)
        yield client


def _log_directory(profile: Profile, default: str | Path | None) -> Path:
    return Path(profile.settings.log_directory or default or "distspc-logs").expanduser().absolute()


@contextmanager
def _open(profile: Profile, name: str, log_directory: Path) -> Iterator[Client]:
    import dask

    with ExitStack() as stack:
        if profile.kind in QUEUES:
            from distspc.deployment.batch.job_classes import cluster_class

            cluster_class(profile.queue)  # its import sets Dask's defaults: before the profile does
        tail = stack.enter_context(log_tail())
        stack.enter_context(dask.config.set(flatten(dask_config(profile))))
        # A client that cannot connect stays Dask's default all the same: put back what was.
        stack.enter_context(dask.config.set(scheduler=dask.config.get("scheduler", None)))
        client = stack.enter_context(_client(profile, name, log_directory))
        try:
            yield client
        except Exception as error:
            _raise_explained(error, client, tail.lines)
            raise


def _client(profile: Profile, name: str, log_directory: Path) -> AbstractContextManager[Client]:
    if profile.kind in QUEUES:
        from distspc.deployment.batch.client import queue_client

        return queue_client(profile, name=name, log_directory=log_directory)
    if profile.kind == "slurm-runner":
        from distspc.deployment.batch.runner import runner_client

        return runner_client(profile, log_directory=log_directory)
    if profile.kind == "address":
        from distspc.deployment.existing import existing_client

        return existing_client(profile)
    from distspc.deployment.local import local_client

    return local_client(profile, name=name)


def _raise_explained(error: Exception, client: Client, lines: Iterable[str]) -> None:
    explained = explain_failure(error, client, lines=lines)
    if explained is not None:
        raise explained from error


@contextmanager
def _environment_kept() -> Iterator[None]:
    # A nanny sets its worker's environment in its own process; for local clusters that is this one.
    names = (*worker_environment(1), "PYTHONHASHSEED")
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
