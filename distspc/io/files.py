"""Files that users hand over: regular ones only, written whole, with their digests."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def digest_of(data: bytes) -> str:
    """Digest that names a file's content.

    Parameters
    ----------
    data
        The content.

    Returns
    -------
    str
        ``sha256:`` and 64 hexadecimal digits.
    """
    return "sha256:" + hashlib.sha256(data).hexdigest()


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
