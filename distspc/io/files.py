"""Files that users hand over: regular ones only, written whole, with their digests."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def digest_of(content: bytes | Path) -> str:
    """Digest that names a content.

    Parameters
    ----------
    content
        The content, or the file that holds it.

    Returns
    -------
    str
        ``sha256:`` and 64 hexadecimal digits.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    return "sha256:" + hex_digest(content)


def hex_digest(content: bytes | Path) -> str:
    """Digest as `digest_of` gives it, without the name of the algorithm.

    >>> hex_digest(b"")[:8]
    'e3b0c442'
    """
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def irregularity(status: os.stat_result) -> str:
    """Say why a path is not to be opened as a file; a pipe or a device would block for ever, or never end.

    Parameters
    ----------
    status
        Of the path, as `os.stat` gives it.

    Returns
    -------
    str
        ``is a folder``, ``is not a regular file``; empty for a regular file.
    """
    if stat.S_ISREG(status.st_mode):
        return ""
    return "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file"


def os_reason(error: Exception) -> str:
    """Say in words what the operating system had against a path.

    Parameters
    ----------
    error
        The exception (``OSError``, or ``ValueError`` for an impossible path).

    Returns
    -------
    str
        A clause such as ``does not exist``.
    """
    code = getattr(error, "errno", None)
    words = {
        errno.ENOENT: "does not exist",
        errno.ELOOP: "is a loop of links",
        errno.EACCES: "may not be read (permissions)",
        errno.ENOTDIR: "is not a folder",
        errno.EISDIR: "is a folder",
    }
    return words.get(code, f"cannot be read ({error})") if code is not None else f"cannot be read ({error})"


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """Give a path beside a file to write to; it takes the file's place at the end: whole, or not at all.

    Parameters
    ----------
    file
        The file that is to be; its folder is made if missing.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{uuid.uuid4().hex}.partial")
    try:
        yield beside
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)
