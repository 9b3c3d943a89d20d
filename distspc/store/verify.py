"""Damaged chunks, and what interrupted writers left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr

from distspc.errors import InputError
from distspc.store.store import Store


def remove_partial_chunks(store: Store) -> int:
    """Delete unfinished chunk files that a killed writer left behind; returns how many. Hold the store's lock."""
    left = list(store.path.rglob("*.partial"))
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def damaged_chunks(store: Store) -> Iterator[Path]:
    """Read every chunk of the store; yields the files whose checksum or size is wrong.

    Raises
    ------
    InputError
        If there is no store.
    """
    if not store.attributes and not store.groups():
        raise InputError(f"{store} is not a store yet: run the study first")
    for group in map(store.__getitem__, store.groups()):
        for name, array in sorted(zarr.open_group(str(store), path=group.name, mode="r").arrays()):
            yield from _damaged(group.path / name, array, group.done(name))


def _damaged(folder: Path, array: zarr.Array, there: np.ndarray) -> Iterator[Path]:
    for chunk in np.argwhere(there).tolist():
        try:
            array[tuple(slice(i * c, (i + 1) * c) for i, c in zip(chunk, array.chunks, strict=True))]
        except Exception:  # whatever a codec makes of damaged bytes
            yield folder.joinpath("c", *map(str, chunk))


def remove_damaged(store: Store) -> list[Path]:
    """Delete the damaged chunks, so that the next run makes them again; returns their files. Hold the store's lock."""
    bad = list(damaged_chunks(store))
    for path in bad:
        path.unlink()
    return bad
