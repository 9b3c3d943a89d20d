"""A client at a scheduler that somebody else runs; it is left running."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distspc.deployment.profile.settings import ADDRESS, Profile
from distspc.errors import InputError, WorkerError

if TYPE_CHECKING:
    from distributed import Client


START_S = 60.0
CONNECT_S = 15.0


@contextmanager
def existing_client(profile: Profile) -> Iterator[Client]:
    """Connect to the scheduler at an address, or of a scheduler file.

    Raises
    ------
    InputError
        If nobody answers there, or not with the certificates that Dask's configuration names.
    WorkerError
        If the scheduler has no worker in time.
    """
    settings = profile.settings
    where = settings.address or str(settings.scheduler_file)
    try:
        client = _connect(profile, where)
    except (OSError, TimeoutError, ValueError, RuntimeError, TypeError) as error:
        message = " ".join(str(error).split())
        raise InputError(f"no scheduler answers at {where}: {message}{_hint(where)}") from None
    timeout = settings.timeouts.start or START_S
    with _closed_in_silence(client):
        try:
            client.wait_for_workers(1, timeout=timeout)
        except TimeoutError:
            raise WorkerError(f"the scheduler at {where} has had no worker for {timeout:g} s; start some") from None
        yield client


@contextmanager
def _closed_in_silence(client: Client) -> Iterator[None]:
    """Close a client at the end of the block.

    Where the scheduler is lost, Dask logs the tracebacks of its attempts to connect; the error says it in a sentence.
    """
    logger = logging.getLogger("distributed.client")
    level = logger.level
    try:
        yield
    finally:
        logger.setLevel(logging.CRITICAL)
        try:
            client.close()
        finally:
            logger.setLevel(level)


def _hint(where: str) -> str:
    if not where.startswith("tls://"):
        return ""
    keys = "ca-file, client.cert and client.key"
    return f"; for tls:// a profile of kind address names the certificates in distributed.comm.tls ({keys})"


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise InputError(f"there is no scheduler file {file}")
    try:
        address = json.loads(file.read_text(encoding="utf-8"))["address"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        address = None
    if not ADDRESS.match(str(address)):
        raise InputError(f"the scheduler file {file} names no address: start `dask scheduler --scheduler-file` with it")


def _connect(profile: Profile, where: str) -> Client:
    from distributed import Client

    settings = profile.settings
    timeout = min(CONNECT_S, settings.timeouts.start or CONNECT_S)
    if settings.scheduler_file is not None:
        _check_file(settings.scheduler_file.expanduser())
        return Client(scheduler_file=str(settings.scheduler_file.expanduser()), timeout=timeout)
    return Client(where, timeout=timeout)
