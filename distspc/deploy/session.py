"""The context manager that turns a profile into a client, and leaves nothing behind."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distspc.deploy.machine import THREAD_VARIABLES, thread_environment
from distspc.deploy.profiles import QUEUES, Profile, load_profile
from distspc.deploy.signals import shielded, terminate_like_interrupt

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
        Folder of the job logs; by default the profile's `log-directory`, else ``distspc-logs`` here.

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
        stack.enter_context(terminate_like_interrupt())
        client = stack.enter_context(_open(loaded, name, logs))
        logger.info("%s: %s", loaded.name, client)
        yield client


def _log_directory(profile: Profile, given: str | Path | None) -> Path:
    return Path(given or profile.settings.log_directory or "distspc-logs").expanduser().absolute()


@contextmanager
def _open(profile: Profile, name: str, log_directory: Path) -> Iterator[Client]:
    import dask

    from distspc.deploy import local

    if profile.kind in QUEUES:
        raise NotImplementedError
    with dask.config.set(flatten(dask_config(profile))), local.local_client(profile, name=name) as client:
        yield client


def dask_config(profile: Profile) -> dict[str, Any]:
    """Dask's configuration under this profile: its own sections, and what every profile of ours needs."""
    import dask
    import distributed  # noqa: F401  (fills in Dask's defaults)

    ours = {
        "distributed": {
            "scheduler": {"allowed-failures": 20},
            "worker": {"multiprocessing-method": "spawn"},
            "nanny": {"pre-spawn-environ": _environment(profile)},
        }
    }
    return dict(dask.config.merge(ours, _canonical(profile.config)))


def _environment(profile: Profile) -> dict[str, str]:
    import dask

    inherited = {str(k): str(v) for k, v in dask.config.get("distributed.nanny.pre-spawn-environ").items()}
    if profile.kind == "address":
        return inherited
    return inherited | thread_environment(profile.shape[1])


def _canonical(section: Mapping[str, Any]) -> dict[str, Any]:
    """Keys with hyphens, except the names of environment variables."""
    return {
        key.replace("_", "-"): _canonical(value) if isinstance(value, Mapping) and not _is_environment(key) else value
        for key, value in section.items()
    }


def _is_environment(key: str) -> bool:
    return key.endswith("environ")


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration as dotted keys, so that setting it leaves its neighbours alone."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value and not _is_environment(key):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


@contextmanager
def _environment_kept() -> Iterator[None]:
    # A nanny sets its worker's environment in its own process; for local clusters that is this one.
    names = (*THREAD_VARIABLES, "TF_NUM_INTEROP_THREADS", "MALLOC_TRIM_THRESHOLD_", "PYTHONHASHSEED")
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


__all__ = ["dask_config", "deploy", "flatten", "shielded"]
