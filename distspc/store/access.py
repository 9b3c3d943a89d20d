"""Whether a store may be written and is whole: one run at a time, left-overs of killed writers, damaged chunks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from distspc.errors import FULL, READ_ONLY, DistspcError, InputError, StoreBusyError
from distspc.io.files import room_at
from distspc.messages import format_nbytes
from distspc.store.format.schema import StorePath


def check_store_path(store: StorePath) -> None:
    """Make sure that a path is a store or may become one; makes the folder that it lies in.

    Raises
    ------
    InputError
        If the path is a file, or a folder of other things, which could bear the names of the store's own parts.
    """
    path = Path(store)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        names = [entry.name for entry in path.iterdir()] if path.exists() else []
    except NotADirectoryError:
        raise InputError(f"the store {path} is a file; name a new folder as `store:`") from None
    except OSError as error:
        raise InputError(f"the store {path} cannot be made here ({error.strerror}); name another `store:`") from error
    # A process killed in its first moment leaves no more than such a part.
    others = [name for name in sorted(names) if not re.fullmatch(r"zarr\.[0-9a-f]+\.partial", name)]
    if others and "zarr.json" not in names:
        raise InputError(f"the store {path} holds other files ({others[0]!r}, ...); name a new folder as `store:`")


@contextmanager
def explain_disk_errors(store: StorePath, needs: Callable[[], int] | None = None) -> Iterator[None]:
    """Inside this block a disk that takes no more is told in a sentence, wherever it was met.

    Parameters
    ----------
    store
        The store.
    needs
        Gives the most bytes that it takes, before compression.

    Raises
    ------
    DistspcError
        If the disk is full.
    InputError
        If it is read-only.
    """
    try:
        yield
    except OSError as error:
        place = error.filename or str(store)
        if error.errno in FULL:
            raise DistspcError(
                f"cannot write to the store {store}: no space left on the disk of {place}{_room(place, store, needs)}. "
                "What is done stays: free some space, then run the same command again to continue"
            ) from error
        if error.errno in READ_ONLY and Path(place).is_relative_to(Path(store).parent):
            raise read_only_error(store) from error
        raise


def _room(place: str, store: StorePath, needs: Callable[[], int] | None) -> str:
    """How large a disk is and what of it is free, and how much a store takes, as far as this can be known."""
    known = [room] if (room := room_at(Path(place))) else []
    with suppress(OSError, DistspcError):
        known += [f"the store takes up to {format_nbytes(needs())}, before compression"] if needs else []
    return f" ({'; '.join(known)})" if known else ""


def read_only_error(store: StorePath) -> InputError:
    """The error of work that is left to do on a store that cannot be written."""
    return InputError(
        f"the store {store} lacks requested results, and cannot be written (read-only, or of another user): "
        "make it writable, or copy it and name the copy as `store:`"
    )


@contextmanager
def lock(store: StorePath) -> Iterator[bool]:
    """Hold the store for one run; gives whether it can be written, as on read-only media nobody needs to hold it.

    The mark beside the store names process and host. A mark left by a dead process of this host is taken over.

    Raises
    ------
    StoreBusyError
        If another run holds the store; names the holder and the file.
    """
    from filelock import SoftFileLock, Timeout

    path = Path(f"{store}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = SoftFileLock(path, timeout=0).acquire()
    except Timeout:
        raise StoreBusyError(_busy(path)) from None
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        held = None
    with held or nullcontext():
        yield held is not None


def _busy(path: Path) -> str:
    try:
        pid, host, *_ = path.read_text().split()
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.stat().st_mtime))
        holder = f"process {pid} on {host} since {since}"
    except (OSError, ValueError):
        holder = "an unknown process"
    return f"{path.with_suffix('')} is in use by {holder}. Wait for it, or if it is gone, remove {path}"
