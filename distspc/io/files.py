"""Files that users hand over: regular ones only, written whole, with their digests."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distspc.errors import FULL, READ_ONLY, DistspcError, InputError
from distspc.messages import format_nbytes


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


# ---------------------------------------------------------------- places that take nothing


def room_at(path: Path) -> str:
    """How much is free at a path, there or not, and of how much; empty where this cannot be known."""
    with suppress(OSError, StopIteration):
        usage = shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists()))
        return f"{format_nbytes(usage.free)} free of {format_nbytes(usage.total)}"
    return ""


def unwritable(error: OSError, what: str, way_out: str) -> DistspcError | None:
    """The error of an output that its disk does not take, in a sentence; None where the disk is not why.

    Parameters
    ----------
    error
        What was met.
    what
        What was to be written, with its place.
    way_out
        What else can be done than to make room, or make the place writable.
    """
    if error.errno in FULL:
        room = room_at(Path(error.filename or "."))
        told = f" of {error.filename} ({room})" if error.filename and room else ""
        return DistspcError(f"cannot write {what}: no space left on the disk{told}: free some space, or {way_out}")
    if error.errno in READ_ONLY:
        place = f": {error.filename}" if error.filename else ""
        return InputError(f"cannot write {what} ({error.strerror}{place}): make the place writable, or {way_out}")
    return None


@contextmanager
def explain_unwritable(what: str, way_out: str) -> Iterator[None]:
    """Inside this block an output that its disk does not take is told in a sentence; see `unwritable`.

    Raises
    ------
    DistspcError
        If the disk is full.
    InputError
        If the place may not be written.
    """
    try:
        yield
    except OSError as error:
        explained = unwritable(error, what, way_out)
        if explained is None:
            raise
        raise explained from error
