"""Damaged chunks, and what interrupted writers left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import zarr

from distspc.errors import InputError
from distspc.store.format import schema
from distspc.store.group import Group
from distspc.store.store import Store

_SWEPT = "swept"
"""Attribute of a store whose activations hold no unfinished file: no writer has begun since these were looked for."""


def remove_partial_chunks(store: Store, *, everywhere: bool = False) -> int:
    """Delete unfinished files that a killed writer left behind; returns how many. Hold the store's lock.

    Parameters
    ----------
    store
        The store.
    everywhere
        Look among the activations, of which a million images have a hundred thousand files, even if no writer has begun
        since this was done.
    """
    left, activations = [], str(store.path / schema.ACTIVATIONS)
    swept = store.attributes.get(_SWEPT, False) and not everywhere
    for at, folders, names in os.walk(store.path):
        if swept and at.startswith(activations):
            folders[:] = [name for name in folders if name != "c"]
        left += [Path(at, name) for name in names if name.endswith(".partial")]
    for path in left:
        path.unlink(missing_ok=True)
    if store.exists() and not swept:
        with suppress(OSError):  # of another user
            store.set_attributes(**{_SWEPT: True})
    return len(left)


def expect_writers(store: Store) -> None:
    """Note that writers of activations may begin, so that what they leave is looked for afterwards."""
    if store.attributes.get(_SWEPT, False):
        store.set_attributes(**{_SWEPT: False})


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
        for name in sorted(zarr.open_group(str(store), path=group.name, mode="r").array_keys()):
            for path, chunks in group.files(name):
                if not all(_can_be_read(group, name, chunk) for chunk in chunks):
                    yield path


def _can_be_read(group: Group, name: str, chunk: Mapping[str, Any]) -> bool:
    try:
        group.read(name, **chunk)
    except InputError:
        return False
    return True


def remove_damaged(store: Store) -> list[Path]:
    """Delete the damaged chunks, so that the next run makes them again; returns their files. Hold the store's lock."""
    bad = list(damaged_chunks(store))
    for path in bad:
        path.unlink()
    return bad
