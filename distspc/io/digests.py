"""Digests of large files that users hand over: read once, and known again for as long as nothing touches the file."""

from __future__ import annotations

import functools
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from distspc.io.files import digest_of, written_whole

logger = logging.getLogger(__name__)

LARGE_NBYTES = 2**24
"""Smaller files are read again: that takes no longer than looking up what they were."""
SETTLED_NS = 4 * 10**9
"""Age of a file's last change, before which another change may leave its times as they are (2 s on FAT)."""
_MOST = 64  # files

Signature = tuple[int, ...]


def cache_folder() -> Path:
    """Folder of what can be fetched or computed again: ``$DISTSPC_CACHE``, or the user's cache folder.

    Returns
    -------
    pathlib.Path
    """
    import pooch

    return Path(os.environ.get("DISTSPC_CACHE") or pooch.os_cache("distspc"))


def signature_of(status: os.stat_result) -> Signature:
    """What changes with a file's content: size, times of its last change in ns, inode and device.

    The time at which the inode changed cannot be set by hand, as that of the content can: a file that was overwritten
    and given its old time back has another.
    """
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


@functools.lru_cache(maxsize=16)
def read_digest(path: str, signature: Signature) -> str:
    """Digest of a file's content, read once in this process for as long as its signature is the same.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    return digest_of(Path(path))


@functools.lru_cache(maxsize=16)
def known_digest(path: str, signature: Signature) -> str:
    """Digest of a file's content; that of a large one is kept in the user's cache folder for other processes.

    It is taken from there only where path and signature are those of the file that was read. What changes a file's
    bytes behind the file system's back, such as a failing disk, is noticed where the content is used: `read_digest`.

    Parameters
    ----------
    path
        The file.
    signature
        As `signature_of` gives it.

    Returns
    -------
    str
        ``sha256:`` and 64 hexadecimal digits.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    size, _, changed_ns, *_ = signature
    if size < LARGE_NBYTES:
        return read_digest(path, signature)
    entry = _kept().get(os.path.abspath(path))
    if isinstance(entry, dict) and entry.get("signature") == list(signature) and _is_digest(entry.get("digest")):
        return str(entry["digest"])
    began_ns = time.time_ns()
    found = read_digest(path, signature)
    if began_ns - changed_ns > SETTLED_NS and signature_of(os.stat(path)) == signature:
        _keep(os.path.abspath(path), {"signature": signature, "digest": found})
    return found


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("sha256:") and len(value) == 71


def _file() -> Path:
    return cache_folder() / "digests.json"


def _kept() -> dict[str, Any]:
    """What is kept, by path; nothing where it cannot be read."""
    try:
        kept = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _keep(path: str, entry: dict[str, Any]) -> None:
    """Keep the digest of a file beside those of the others that were read last; not where the folder is read-only."""
    entries = {name: one for name, one in _kept().items() if name != path} | {path: entry}
    try:
        with written_whole(_file()) as beside:
            beside.write_text(json.dumps(dict(list(entries.items())[-_MOST:]), indent=1), encoding="utf-8")
    except OSError as error:
        logger.debug("the digest of %s is not kept: %s", path, error)
