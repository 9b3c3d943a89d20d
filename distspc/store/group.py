"""The one Zarr store of a study: layout, whole-chunk writes, what is done, provenance.

Rules that make a study resumable without any bookkeeping beside the data:

- arrays are allocated on the driver before any task starts; a task writes whole chunks only;
- a chunk is one file that appears at once (Zarr's local store writes beside and renames), so
  *the chunk's file is there* means *its work is done*; every chunk carries a checksum (CRC-32C);
- every group remembers the recipe that made it, and another recipe on the same group is refused.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.buffer.cpu import NDBuffer

from distspc.errors import InputError, StoreMismatchError
from distspc.store import schema
from distspc.store.layout import create_array
from distspc.store.schema import StorePath

if TYPE_CHECKING:
    import xarray as xr


Index = slice | int | np.ndarray

GROWING = ("layer", "seed")
"""Dimensions along which a group may grow: one chunk holds one layer or seed."""


def _group(store: StorePath, group: str, mode: str = "r") -> zarr.Group:
    if mode == "r" and not (Path(store) / group / "zarr.json").exists():
        raise InputError(f"{store} holds no {group!r}: run the stage that makes it first")
    return zarr.open_group(str(store), path=group, mode=mode)  # type: ignore[arg-type]


def _array(store: StorePath, group: str, variable: str, mode: str = "r") -> zarr.Array:
    where = Path(store) / group / variable / "zarr.json"
    if not where.exists():
        raise InputError(f"{store} holds no variable {variable!r} in {group!r}")
    try:
        array = zarr.open_array(str(store), path=f"{group}/{variable}", mode=mode)
    except (ValueError, KeyError, TypeError) as error:  # of JSON, of text, or of what the file says
        way_out = f"put it back from a copy, or delete {Path(store) / group} and run the study again"
        raise InputError(f"{where} is damaged ({error}): {way_out}") from error
    # A chunk of nothing but fill values is written too: its file says that it is done. (open_array drops `config`.)
    return array.with_config({"write_empty_chunks": True})


def _dims(array: zarr.Array) -> tuple[str, ...]:
    return tuple(str(name) for name in array.metadata.dimension_names or ())  # type: ignore[union-attr]


def exists(store: StorePath, group: str) -> bool:
    """Whether the store has this group."""
    return (Path(store) / group / "zarr.json").exists()


def attributes(store: StorePath, group: str) -> dict[str, Any]:
    """Attributes of a group, its recipe among them (key ``recipe``)."""
    return dict(_group(store, group).attrs)


def note(store: StorePath, **values: Any) -> None:
    """Keep small facts about the whole store, such as when its report was made, as attributes of its root."""
    zarr.open_group(str(store), mode="r+").attrs.update(values)


def note_group(store: StorePath, group: str, **values: Any) -> None:
    """Keep facts about a group that exists, such as its notices, as attributes of it."""
    _group(store, group, "r+").attrs.update(values)


def note_written(store: StorePath, group: str, start: datetime) -> None:
    """Keep when a group was written: from `start`, or from when it was first, until now (UTC)."""
    first, _ = attributes(store, group).get("written", (start.isoformat(timespec="seconds"), ""))
    note_group(store, group, written=[first, datetime.now(UTC).isoformat(timespec="seconds")])


def written(store: StorePath, group: str) -> tuple[datetime, datetime] | None:
    """When a group was written, first to last (UTC); None where there is none.

    Of a store from before this was kept, the times of its arrays' files, not of their chunks: there may be millions.
    """
    if not exists(store, group):
        return None
    kept = attributes(store, group).get("written")
    if kept is not None:
        return datetime.fromisoformat(kept[0]), datetime.fromisoformat(kept[1])
    paths = [path for pattern in ("*/zarr.json", "*/c", "*/c/0") for path in Path(store, group).glob(pattern)]
    times = [path.stat().st_mtime for path in paths]
    if not times:
        return None
    return datetime.fromtimestamp(min(times), UTC), datetime.fromtimestamp(max(times), UTC)


def notes(store: StorePath) -> dict[str, Any]:
    """Facts kept with `note`; empty where there is no store yet."""
    return attributes(store, "") if exists(store, "") else {}


def sizes(store: StorePath, group: str) -> dict[str, int]:
    """Length of every dimension of a group."""
    found: dict[str, int] = {}
    for _, array in sorted(_group(store, group).arrays()):
        found.update(zip(_dims(array), array.shape, strict=True))
    return found


def chunks(store: StorePath, group: str, variable: str) -> dict[str, int]:
    """Chunk length along every dimension of a variable."""
    array = _array(store, group, variable)
    return dict(zip(_dims(array), array.chunks, strict=True))


def labels(store: StorePath, group: str, dim: str) -> list[Any]:
    """Coordinate labels along `dim` as plain Python values."""
    return list(np.asarray(_array(store, group, dim)[:]).tolist())


def position(store: StorePath, group: str, dim: str, label: Any) -> int:
    """Index of a coordinate label.

    Raises
    ------
    InputError
        If the label is not there; the message lists those that are.
    """
    known = labels(store, group, dim)
    if label not in known:
        raise InputError(f"{store} has no {dim} {label!r} in {group!r}; it has {', '.join(map(str, known[:20]))}")
    return known.index(label)


# ---------------------------------------------------------------- allocate


def allocate(
    store: StorePath,
    group: str,
    *,
    coords: Mapping[str, Sequence[Any] | np.ndarray | int],
    chunks: Mapping[str, int],
    recipe: Mapping[str, Any],
    variables: Sequence[str] | None = None,
    dtypes: Mapping[str, str] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> None:
    """Make the arrays of a group, or check that they are what is asked for; grow along `layer` and `seed`.

    Parameters
    ----------
    store, group
        Path of the store; name of the group, such as ``activations/fc2``.
    coords
        For every dimension its labels, or its length where it has none.
    chunks
        Chunk length for the dimensions that are split; others are one chunk (`layer` and `seed`: 1).
    recipe
        What makes the data: anything JSON can hold. Kept in the group, compared on every later call.
    variables
        Names from the schema; all whose dimensions are in `coords` by default.
    dtypes
        Data types other than the schema's.
    attrs
        Further attributes of the group, not compared.

    Raises
    ------
    StoreMismatchError
        If the group exists with another recipe, other labels or other lengths; names what differs.
    """
    rows = schema.variables(group)
    names = [n for n in rows if n not in coords] if variables is None else list(variables)
    names = [n for n in names if all(d in coords for d in rows[n].dims)]
    recipe = json.loads(json.dumps(dict(recipe)))
    if exists(store, group):
        refuse_other_recipe(store, group, recipe)
    else:
        remove(store, group)  # what a removal cut short has left of it
        zarr.open_group(str(store), mode="a")
        # With its recipe at once: a group without one would pass for one of other settings.
        zarr.create_group(str(store), path=group, attributes={"recipe": recipe, **(attrs or {})})
    lengths = {d: _settle_coordinate(store, group, d, labels) for d, labels in coords.items()}
    for name in names:
        dims = rows[name].dims
        shape = tuple(lengths[d] for d in dims)
        _settle_variable(store, group, name, shape, chunks, (dtypes or {}).get(name, rows[name].dtype))


def refuse_other_recipe(store: StorePath, group: str, recipe: Mapping[str, Any]) -> None:
    """Raise StoreMismatchError naming every key of the group's recipe that differs from `recipe`."""
    told = different_settings(attributes(store, group).get("recipe", {}), recipe, group)
    if told:
        raise StoreMismatchError.of_settings(store, group, told)


def different_settings(old: Mapping[str, Any], recipe: Mapping[str, Any], group: str) -> str:
    """Say which keys of a group's recipe differ from those asked for; empty where none does."""
    new = json.loads(json.dumps(dict(recipe)))
    new = {k: v for k, v in new.items() if k in old or k not in schema.ADDED_KEYS.get(group, ())}
    different = [k for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
    return "; ".join(f"{k} was {_short(old.get(k))}, now {_short(new.get(k))}" for k in different)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _settle_coordinate(store: StorePath, group: str, dim: str, wanted: Sequence[Any] | np.ndarray | int) -> int:
    if isinstance(wanted, int | np.integer):
        return int(wanted)
    new = list(np.asarray(wanted).tolist())
    path = Path(store) / group / dim / "zarr.json"
    old = labels(store, group, dim) if path.exists() else []
    there = done(store, group, dim) if old else np.ones(1, bool)
    if old == new and there.all():
        return len(old)
    if not there.all():  # a stop after room was made for labels, before they were written
        old = old[: int(there.argmin()) * _array(store, group, dim).chunks[0]]
    if old and dim not in GROWING:
        differ = [f"{a!r} then, {b!r} now" for a, b in zip(old, new, strict=False) if a != b]
        raise StoreMismatchError(
            f"{store}: {group!r} has {len(old)} {dim}s, now {len(new)}"
            + (f" (the first that differs: {differ[0]})" if differ else "")
            + ". The set of images changed: name another `store:`, or run the stage with --redo"
        )
    merged = old + [label for label in new if label not in old]
    if merged != old or not there.all():
        # Data first, coordinate last: a stop in between leaves spare room, never a label without room.
        # What has lost its label is dropped: it could be taken for another's.
        for length in [len(old), len(merged)] if not there.all() else [len(merged)]:
            _resize(store, group, dim, length)
        if path.exists() and dim in GROWING:
            _array(store, group, dim, "r+").resize((len(merged),))
        else:
            chunk = 1 if dim in GROWING else len(merged) or 1
            create_array(store, group, dim, (len(merged),), (chunk,), schema.variables(group)[dim].dtype)
        _array(store, group, dim, "r+")[:] = _as_array(merged)
    return len(merged)


def _resize(store: StorePath, group: str, dim: str, length: int) -> None:
    for name, array in _group(store, group, "r+").arrays():
        dims = _dims(array)
        if dim in dims and name != dim:
            array.resize(tuple(length if d == dim else n for d, n in zip(dims, array.shape, strict=True)))


def _as_array(values: Sequence[Any]) -> np.ndarray:
    array = np.asarray(values)
    return array.astype(np.dtypes.StringDType()) if array.dtype.kind in "UO" else array


def _settle_variable(
    store: StorePath, group: str, name: str, shape: tuple[int, ...], chunks: Mapping[str, int], dtype: str
) -> None:
    dims = schema.variables(group)[name].dims
    if not (Path(store) / group / name / "zarr.json").exists():
        sizes = (chunks.get(d, 1 if d in GROWING else n) for d, n in zip(dims, shape, strict=True))
        create_array(store, group, name, shape, tuple(max(int(c), 1) for c in sizes), dtype)
        return
    array = _array(store, group, name, "r+")
    fixed = [i for i, d in enumerate(dims) if d not in GROWING]
    if any(array.shape[i] != shape[i] for i in fixed):
        raise StoreMismatchError(f"{store}: {group}/{name} has shape {array.shape}, now {shape}; run with --redo")
    if array.shape != shape:
        array.resize(shape)


# ---------------------------------------------------------------- read and write


def write(store: StorePath, group: str, variable: str, values: Any, **index: slice | int) -> None:
    """Write whole chunks of a variable.

    Parameters
    ----------
    values
        Array of the region's shape; an integer index drops its dimension.
    **index
        Position along a dimension: a slice or an integer; whole dimensions where not named.

    Raises
    ------
    ValueError
        If the region does not cover whole chunks: two writers could then lose each other's data.
    """
    writer(store, group, variable)(values, **index)


def writer(store: StorePath, group: str, variable: str) -> Callable[..., None]:
    """Open a variable once to write many of its chunks; what it gives is called as `write` is, from `values` on."""
    array = _array(store, group, variable, "r+")

    def write_region(values: Any, **index: slice | int) -> None:
        array[_selection(array, index, whole_chunks=True)] = _as_array(values)

    return write_region


def write_column(store: StorePath, group: str, dim: str, name: str, values: Sequence[str]) -> None:
    """Write a text column along `dim` that the schema does not know: what a user's own table brings along."""
    if (Path(store) / group / name / "zarr.json").exists() and labels(store, group, name) == list(values):
        return
    row = schema.Variable((dim,), "str", f"column {name} of the user's table")
    create_array(store, group, name, (len(values),), (max(len(values), 1),), "str", row)
    _array(store, group, name, "r+")[:] = _as_array(list(values))


def read(store: StorePath, group: str, variable: str, *, out: np.ndarray | None = None, **index: Index) -> np.ndarray:
    """Read a region: slices, integers, or integer arrays (orthogonally) by dimension; into `out`, in its type, if any.

    `out` is of the region's shape: memory that is used again need not be cleared by the system for every region.
    """
    array = _array(store, group, variable)
    selection = _selection(array, index)
    buffer = None if out is None else NDBuffer.from_numpy_array(out)
    try:
        return np.asarray(array.get_orthogonal_selection(selection, out=buffer))
    except Exception as error:
        raise InputError(
            f"{store}: {group}/{variable} cannot be read at {index or 'any index'} ({error}). A chunk may be damaged: "
            "`distspc verify STUDY.yaml` names damaged chunks and removes them, so that the next run makes them again"
        ) from error


def _selection(array: zarr.Array, index: Mapping[str, Index], *, whole_chunks: bool = False) -> tuple[Index, ...]:
    dims = _dims(array)
    unknown = set(index) - set(dims)
    if unknown:
        raise ValueError(f"{array.path} has no dimension {', '.join(sorted(unknown))}; it has {', '.join(dims)}")
    found = tuple(index.get(d, slice(None)) for d in dims)
    if whole_chunks:
        for part, dim, n, chunk in zip(found, dims, array.shape, array.chunks, strict=True):
            start, stop, _ = part.indices(n) if isinstance(part, slice) else (int(part), int(part) + 1, 1)
            if start % chunk or (stop % chunk and stop != n):
                raise ValueError(f"{array.path}: {dim} {start}:{stop} does not cover whole chunks of {chunk}")
    return found


def done(store: StorePath, group: str, variable: str) -> np.ndarray:
    """Which chunks of a variable are there: a bool array over the chunk grid."""
    array = _array(store, group, variable)
    found = np.zeros(array.cdata_shape, dtype=bool)
    # One listing per folder, not one question per chunk: stores of a million images have millions of chunks.
    root = Path(store) / group / variable / "c"
    for folder, _, names in os.walk(root):
        row = Path(folder).relative_to(root).parts
        for name in names:
            if name.isdigit() and len(row) + 1 == found.ndim:
                found[tuple(int(part) for part in (*row, name))] = True
    return found


def complete(store: StorePath, group: str, *dims: str) -> np.ndarray:
    """For every label along `dims`, whether all is there of the variables whose first dimensions these are."""
    found = np.ones((), dtype=bool)
    rows = schema.variables(group)
    for name, array in _group(store, group).arrays():
        added = name in rows and rows[name].added
        if _dims(array)[: len(dims)] == dims and name not in dims and not added:
            there = done(store, group, name)
            found = found & there.all(axis=tuple(range(len(dims), there.ndim)))
    return found


def groups(store: StorePath) -> list[str]:
    """Names of all groups that hold arrays, `activations/<layer>` included."""
    # By name, not by walking: a store of a million images has millions of chunk files.
    layers = [f"activations/{path.name}" for path in Path(store, "activations").glob("*") if path.is_dir()]
    names = [name for name in schema.GROUPS if name != "activations"] + layers
    return sorted(name for name in names if next(Path(store, name).glob("*/zarr.json"), None) is not None)


def remove(store: StorePath, group: str) -> None:
    """Delete a group; used to redo a stage."""
    path = Path(store) / group
    if path.exists():
        # The marker goes first: a half-deleted group must not look like a complete one.
        (path / "zarr.json").unlink(missing_ok=True)
        shutil.rmtree(path)


def open_results(store: StorePath) -> xr.DataTree:
    """Open the whole store as an xarray DataTree, lazily (Dask arrays)."""
    import xarray as xr

    if not (Path(store) / "zarr.json").exists():
        raise InputError(f"{store} is not a store yet: run the study first")
    return xr.open_datatree(str(store), engine="zarr", chunks={}, consolidated=False)
