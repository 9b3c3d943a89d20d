"""One array of the store: codecs, fill values and attributes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from distspc.store.format import schema
from distspc.store.format.schema import StorePath

_FILL = {"f": np.nan, "i": -1, "b": False, "T": "", "U": ""}


class Grid(NamedTuple):
    """How an array is cut into files: names and lengths of its dimensions, lengths of what a file holds."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    files: tuple[int, ...]


def read_grid(folder: Path) -> Grid:
    """Read how the array in a folder is cut, without opening it, which takes twenty times as long.

    Raises
    ------
    ValueError, KeyError, TypeError
        If its metadata are damaged.
    """
    known = json.loads((folder / "zarr.json").read_bytes())
    files = known["chunk_grid"]["configuration"]["chunk_shape"]
    return Grid(tuple(known.get("dimension_names") or ()), tuple(known["shape"]), tuple(files))


def read_attributes(folder: Path) -> dict[str, Any]:
    """Read the attributes of the group in a folder, without opening it.

    Raises
    ------
    ValueError
        If its metadata are damaged.
    """
    known = json.loads((folder / "zarr.json").read_bytes())
    if not isinstance(known, dict) or not isinstance(known.get("attributes", {}), dict):
        raise ValueError(f"{folder / 'zarr.json'} does not describe a group")
    return dict(known.get("attributes", {}))


def _compressors() -> list[Any]:
    # No shuffle: after ReLU half or more of the values are zeros, and byte shuffling breaks up their runs.
    return [BloscCodec(cname="lz4", clevel=1, shuffle="noshuffle"), Crc32cCodec()]


def create_array(
    store: StorePath,
    group: str,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: str,
    row: schema.Variable | None = None,
    *,
    shards: tuple[int, ...] | None = None,
) -> None:
    """Make one array of a group; with `shards`, several chunks to a file."""
    row = row or schema.variables(group)[name]
    kind = "T" if dtype == "str" else np.dtype(dtype).kind
    attributes: dict[str, Any] = {"long_name": row.long_name}
    if kind in "fi":
        attributes["units"] = row.units
    zarr.create_array(
        str(store),
        name=f"{group}/{name}",
        shape=shape,
        chunks=chunks,
        shards=None if shards == chunks else shards,
        dtype=str if dtype == "str" else dtype,
        compressors=_compressors(),
        fill_value=_FILL[kind],
        dimension_names=row.dims,
        attributes=attributes,
        overwrite=True,
    )
