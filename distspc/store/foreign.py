"""Zarr arrays that others wrote."""

from __future__ import annotations

import os
from typing import Any

import zarr

from distspc.errors import InputError


def open_array(path: str | os.PathLike[str], name: str | None = None) -> Any:
    """Open an array to read, rows at a time.

    Parameters
    ----------
    path
        Folder of the array, or of the group that holds it.
    name
        Name of the array in the group.

    Returns
    -------
    zarr.Array
        Sliced as a NumPy array is.

    Raises
    ------
    InputError
        If there is no such array; lists those of the group.
    """
    where = f"{os.fspath(path)!r}"
    try:
        found = zarr.open(os.fspath(path), mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{where} cannot be read as Zarr ({error}): name the folder of a Zarr array or group"
        ) from error
    if isinstance(found, zarr.Array):
        return found
    array = found.get(name) if name else None
    if not isinstance(array, zarr.Array):
        raise InputError(f"{where} has no array {name!r}; it has {', '.join(sorted(found.array_keys())) or 'none'}")
    return array
