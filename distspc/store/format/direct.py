"""Large files written past the file cache, while what comes next is made.

The system's copy into its cache took as much processor time as compression (10 of 18 ms an image, measured once), and
of a study that is larger than memory the cache holds nothing when it is read. A direct write takes bytes from where
they are, and a thread waits for the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

BLOCK_NBYTES = 4 * 2**20
"""Written at once. A file no larger is left to the cache: it is read soon, or small beside the others."""
_ALIGNMENT = 4096
"""What disks want of the position and length of a direct write."""


class DirectFile:
    """A new file, written front to back; large ones go past the file cache where the file system can do it.

    Two blocks of memory alternate: one is filled while the other is on its way to the disk.

    Parameters
    ----------
    path
        The file.
    block_nbytes
        Bytes written at once, a multiple of 4096.

    Raises
    ------
    OSError
        If it cannot be made; `write` and `finish` if the disk is full or fails.
    """

    def __init__(self, path: Path, *, block_nbytes: int = BLOCK_NBYTES) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._size, self._block_nbytes = 0, block_nbytes
        self._blocks = [mmap.mmap(-1, block_nbytes)]
        self._pool: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None

    def tell(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: memoryview | bytes) -> int:
        """Append bytes; returns their number."""
        rest = memoryview(data).cast("B")
        while rest:
            at = self._size % self._block_nbytes
            part = rest[: self._block_nbytes - at]
            self._blocks[0][at : at + len(part)] = part
            self._size += len(part)
            rest = rest[len(part) :]
            if self._size % self._block_nbytes == 0:
                self._send()
        return len(memoryview(data).cast("B"))

    def finish(self) -> None:
        """Write what is left, and close."""
        left = self._size % self._block_nbytes
        self._wait()
        if left:
            whole = -(-left // _ALIGNMENT) * _ALIGNMENT if self._pool else left
            _write_at(self._descriptor, self._blocks[0], whole, self._size - left)
        if self._pool:
            os.ftruncate(self._descriptor, self._size)
        self.close()

    def close(self) -> None:
        """Close, whatever has been written; once is enough."""
        if self._pool:
            self._pool.shutdown()
            self._pool = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _send(self) -> None:
        """Hand a full block to the thread, and go on with the other one once that is on the disk."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="write")
            self._blocks.append(mmap.mmap(-1, self._block_nbytes))
            _past_the_cache(self._descriptor)
        self._wait()
        position = self._size - self._block_nbytes
        self._pending = self._pool.submit(_write_at, self._descriptor, self._blocks[0], self._block_nbytes, position)
        self._blocks.reverse()

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()


def _past_the_cache(descriptor: int) -> None:
    """Ask for direct writes; file systems that know none (memory, some networks) go on as before."""
    _set_flag(descriptor, getattr(os, "O_DIRECT", 0), on=True)


def _set_flag(descriptor: int, flag: int, *, on: bool) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | flag if on else flags & ~flag)


def _write_at(descriptor: int, block: mmap.mmap, n_bytes: int, position: int) -> None:
    """Write the first bytes of a block to a position of a file, through the cache where the disk wants that."""
    done = 0
    with memoryview(block) as data:
        while done < n_bytes:
            try:
                done += os.pwrite(descriptor, data[done:n_bytes], position + done)
            except OSError as error:
                direct = getattr(os, "O_DIRECT", 0)
                if error.errno != errno.EINVAL or not fcntl.fcntl(descriptor, fcntl.F_GETFL) & direct:
                    raise
                _set_flag(descriptor, direct, on=False)
