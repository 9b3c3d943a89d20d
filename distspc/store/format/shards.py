"""Shards: one file for all chunks that a task writes (Zarr's codec `sharding_indexed`), read and written by the chunk.

Zarr's own codec takes a shard for one array: reading a chunk costs up to twice the processor time of a chunk's own file
(`benchmarks/shards.py`), and writing holds the whole shard three times. Here the chunks of a sharded array look to Zarr
like those of an array without shards, and are ranges of bytes of the shard's file. Any reader of Zarr can read them.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from zarr.abc.store import ByteRequest
from zarr.buffer.cpu import Buffer
from zarr.core.buffer import BufferPrototype
from zarr.storage import LocalStore

from distspc.messages import counted
from distspc.store.format.direct import DirectFile

Position = tuple[int, ...]

_INDEX = {
    "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
    "index_location": "end",
}
_ABSENT = 2**64 - 1
"""What the index of a shard has in place of offset and length of a chunk that is not there."""


def open_array(folder: Path, mode: str) -> zarr.Array | None:
    """Open a sharded array as if each of its chunks had a file of its own; None for any other array.

    Raises
    ------
    ValueError, KeyError, TypeError
        If its metadata are damaged.
    """
    codec = json.loads((folder / "zarr.json").read_bytes())["codecs"][0]
    if codec["name"] != "sharding_indexed" or not _INDEX.items() <= codec["configuration"].items():
        return None  # one with another index is read by Zarr's own codec
    return zarr.open_array(ShardStore(folder, read_only=mode == "r"), mode=mode)


def file_shape(array: zarr.Array) -> tuple[int, ...]:
    """Shape of what one file of an array holds."""
    return array.store.shard_shape if isinstance(array.store, ShardStore) else array.shards or array.chunks


def whole_files(array: zarr.Array) -> AbstractContextManager[None]:
    """Inside this block chunks are written; the shards that they make up appear at its end, whole.

    Raises
    ------
    ValueError
        If chunks of a shard are missing.
    """
    return array.store.writing() if isinstance(array.store, ShardStore) else nullcontext()


class ShardStore(LocalStore):
    """The files of a sharded array, with a key for every chunk: what an array without shards would have.

    Parameters
    ----------
    root
        Folder of the array.
    """

    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._indices: dict[Path, np.ndarray] = {}
        self._begun: dict[Path, _NewShard] = {}

    @cached_property
    def _metadata(self) -> dict[str, Any]:
        return dict(json.loads((self.root / "zarr.json").read_bytes()))

    @property
    def shard_shape(self) -> tuple[int, ...]:
        """Shape of a shard."""
        return tuple(self._metadata["chunk_grid"]["configuration"]["chunk_shape"])

    @cached_property
    def _chunk_shape(self) -> tuple[int, ...]:
        return tuple(self._metadata["codecs"][0]["configuration"]["chunk_shape"])

    @cached_property
    def _chunks_per_shard(self) -> tuple[int, ...]:
        return tuple(s // c for s, c in zip(self.shard_shape, self._chunk_shape, strict=True))

    # ---------------------------------------------------------------- read

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Any:
        """Bytes of a chunk, or of the metadata that the array would have without shards."""
        if key == "zarr.json":
            return Buffer.from_bytes(json.dumps(self._without_shards()).encode())
        if not key.startswith("c/"):
            return None
        return await asyncio.to_thread(self._read, key)

    def _without_shards(self) -> dict[str, Any]:
        grid = {"name": "regular", "configuration": {"chunk_shape": self._chunk_shape}}
        return {**self._metadata, "chunk_grid": grid, "codecs": self._metadata["codecs"][0]["configuration"]["codecs"]}

    def _read(self, key: str) -> Buffer | None:
        path, inside = self._place(key)
        try:
            with path.open("rb") as file:
                offset, length = map(int, self._index(path, file.fileno())[inside])
                data = b"" if offset == _ABSENT else os.pread(file.fileno(), length, offset)
        except FileNotFoundError:
            return None
        if offset == _ABSENT:
            return None
        if len(data) < length:
            raise ValueError(f"{path} is cut short")
        return Buffer.from_bytes(data)

    def _place(self, key: str) -> tuple[Path, Position]:
        """File of a chunk, and its position in it."""
        chunk = [int(part) for part in key.split("/")[1:]]
        both = [divmod(i, n) for i, n in zip(chunk, self._chunks_per_shard, strict=True)]
        return self.root.joinpath("c", *(str(shard) for shard, _ in both)), tuple(inside for _, inside in both)

    def _index(self, path: Path, file: int) -> np.ndarray:
        """Offset and length of every chunk of a shard, kept for its other chunks."""
        if path not in self._indices:
            n_bytes = 16 * math.prod(self._chunks_per_shard)
            data = os.pread(file, n_bytes + 4, max(os.fstat(file).st_size - n_bytes - 4, 0))
            if len(data) < n_bytes + 4 or google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
                raise ValueError(f"{path} is damaged: the checksum of its index is wrong")
            self._indices[path] = np.frombuffer(data[:-4], "<u8").reshape(*self._chunks_per_shard, 2)
        return self._indices[path]

    # ---------------------------------------------------------------- write

    async def set(self, key: str, value: Any) -> None:
        """Write a chunk of a shard that is being made."""
        path, inside = self._place(key)
        if path not in self._begun:
            self._begun[path] = _NewShard(path, self._chunks_per_shard)
        self._begun[path].append(inside, value.as_buffer_like())

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make shards of the chunks that are written inside this block."""
        try:
            yield
            for path, shard in self._begun.items():
                shard.finish(self._n_chunks(path))
                self._indices.pop(path, None)
        finally:
            for shard in self._begun.values():
                shard.discard()
            self._begun.clear()

    def _n_chunks(self, path: Path) -> tuple[int, ...]:
        """Chunks along every dimension that a shard has of the array, less than all at its ends."""
        at = [int(part) for part in path.relative_to(self.root).parts[1:]]
        sizes = zip(at, self._metadata["shape"], self._chunk_shape, self._chunks_per_shard, strict=True)
        return tuple(min(-(-n // chunk) - i * per_shard, per_shard) for i, n, chunk, per_shard in sizes)


class _NewShard:
    """A shard's file in the making, under another name until it is whole."""

    def __init__(self, path: Path, chunks_per_shard: tuple[int, ...]) -> None:
        self.path, self.partial = path, path.with_suffix(f".{uuid.uuid4().hex}.partial")
        self.index = np.full((*chunks_per_shard, 2), _ABSENT, "<u8")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = DirectFile(self.partial)

    def append(self, inside: Position, data: Any) -> None:
        self.index[inside] = self.file.tell(), self.file.write(data)

    def finish(self, n_chunks: tuple[int, ...]) -> None:
        missing = self.index[tuple(slice(n) for n in n_chunks)][..., 0] == _ABSENT
        if missing.any():
            raise ValueError(
                f"{self.path}: {counted(int(missing.sum()), 'chunk of a shard', 'is', of=missing.size)} not written"
            )
        data = self.index.tobytes()
        self.file.write(data + google_crc32c.value(data).to_bytes(4, "little"))
        self.file.finish()
        self.partial.replace(self.path)

    def discard(self) -> None:
        """Leave nothing of it where it is not finished."""
        self.file.close()
        self.partial.unlink(missing_ok=True)
