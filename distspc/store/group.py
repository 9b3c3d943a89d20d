"""One group of the store: allocated, written in whole chunks, read, and what of it is done.

Rules that make a study resumable without any bookkeeping beside the data:

- arrays are allocated on the driver before any task starts; a task writes whole files only;
- a chunk, or a shard of all chunks that a task writes, is one file that appears at once (written beside, renamed), so
  *the file is there* means *its work is done*; every chunk carries a checksum (CRC-32C);
- every group remembers the recipe that made it, and another recipe on the same group is refused.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.buffer.cpu import NDBuffer

from distspc.errors import InputError, StoreMismatchError
from distspc.messages import format_nbytes
from distspc.store.format import schema
from distspc.store.format import shards as sharding
from distspc.store.format.layout import Grid, create_array, read_attributes, read_grid
from distspc.store.format.paths import absolute_paths, kept_paths
from distspc.tasks import ranges
from distspc.version import VERSION

if TYPE_CHECKING:
    import xarray as xr

Index = slice | int | np.ndarray

GIVEN_BACK = "given_back"
"""Attribute of a group whose data were given back for their disk: which variable, when, its bytes, sizes and chunks."""
BEFORE_VERSIONS = "0.1.0"  # the one version whose groups do not say which wrote them

CHUNKS_AT_ONCE = 10
"""Chunks that `Group.read` has in memory beside what it gives, compressed and uncompressed (Zarr's own default)."""

GROWING = ("layer", "seed")
"""Dimensions along which a group may grow: one chunk holds one layer or seed."""


class Group:
    """One group of a store, such as ``distances`` or ``activations/fc2``; `distspc.store.store.Store` gives it.

    Variables are opened once and kept: hold a group for one piece of work, not while a stage may enlarge it.

    Parameters
    ----------
    store
        Path of the store.
    name
        Name of the group.

    Raises
    ------
    ValueError
        If the schema has no such group.
    """

    def __init__(self, store: Path, name: str) -> None:
        self.store, self.name = store, name
        self.path = store / name
        self.schema = schema.variables(name)
        self._arrays: dict[tuple[str, str], zarr.Array] = {}

    def __repr__(self) -> str:
        return f"Group({str(self.store)!r}, {self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Group, (self.store, self.name)

    # ---------------------------------------------------------------- what is there

    def exists(self) -> bool:
        """Whether the store has this group."""
        return (self.path / "zarr.json").exists()

    def has(self, variable: str) -> bool:
        """Whether the group has this variable."""
        return (self.path / variable / "zarr.json").exists()

    @property
    def variables(self) -> list[str]:
        """Names of the variables that the group has, also of those that the schema does not know.

        Folders of those that a full disk kept from being made are left aside.
        """
        self._refuse_absent()
        return sorted(path.name for path in self.path.iterdir() if self.has(path.name))

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the group, its recipe among them (key ``recipe``)."""
        self._refuse_absent()
        return read_attributes(self.path)

    def set_attributes(self, **values: Any) -> None:
        """Keep facts about the group, which exists, such as its notices."""
        self._to_change().attrs.update(values)

    def mark_written(self, start: datetime) -> None:
        """Keep when the group was written, from `start`, or from when it was first, until now (UTC), and by what."""
        first, _ = self.attributes.get("written", (start.isoformat(timespec="seconds"), ""))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.set_attributes(written=[first, now], versions=list(dict.fromkeys([*self.versions, VERSION])))

    @property
    def versions(self) -> list[str]:
        """Versions of distspc that wrote the group, in their order."""
        return list(self.attributes.get("versions", [BEFORE_VERSIONS]))

    @property
    def written(self) -> tuple[datetime, datetime] | None:
        """When the group was written, first to last (UTC); None where there is none.

        Of a store from before this was kept, the times of its arrays' files, not of their chunks: there may be
        millions.
        """
        if not self.exists():
            return None
        kept = self.attributes.get("written")
        if kept is not None:
            return datetime.fromisoformat(kept[0]), datetime.fromisoformat(kept[1])
        paths = [path for pattern in ("*/zarr.json", "*/c", "*/c/0") for path in self.path.glob(pattern)]
        times = [path.stat().st_mtime for path in paths]
        if not times:
            return None
        return datetime.fromtimestamp(min(times), UTC), datetime.fromtimestamp(max(times), UTC)

    @property
    def given_back(self) -> bool:
        """Whether the data were given back for their disk; attributes, coordinates and sizes stay.

        The attribute ``given_back`` says of which variable, when (UTC) and how many bytes they were. It is made again
        only once it is asked for (`distspc.store.activations.ask_again`).
        """
        known = self._given_back()
        return bool(known) and not known.get("again") and not self.has(known["variable"])

    def give_back(self, variable: str) -> int:
        """Delete the data of a variable; returns their bytes on disk.

        Raises
        ------
        InputError
            If a part of their path is a link, behind which may be anything.
        """
        folder = self.path / variable
        refuse_links(self.store, folder)
        nbytes = folder_nbytes(folder)
        if self.given_back and folder.exists():  # a stop has left some of it
            shutil.rmtree(folder)
            return nbytes
        array = self._array(variable)
        sizes = dict(zip(_dims(array), array.shape, strict=True))
        when = datetime.now(UTC).isoformat(timespec="seconds")
        known = {"variable": variable, "when": when, "nbytes": nbytes, "sizes": sizes, "chunks": self.chunks(variable)}
        self.set_attributes(**{GIVEN_BACK: known})
        # The marker goes next: from now on the variable is not there, however far its files are.
        (folder / "zarr.json").unlink()
        self._arrays.clear()
        shutil.rmtree(folder)
        return nbytes

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every dimension."""
        found: dict[str, int] = dict(self._given_back().get("sizes", {}))
        for grid in map(self._grid, self.variables):
            found.update(zip(grid.dims, grid.shape, strict=True))
        return found

    def chunks(self, variable: str) -> dict[str, int]:
        """Chunk length along every dimension of a variable."""
        if not self.has(variable) and self._given_back().get("variable") == variable:
            return dict(self._given_back()["chunks"])
        array = self._array(variable)
        return dict(zip(_dims(array), array.chunks, strict=True))

    def labels(self, dim: str) -> list[Any]:
        """Coordinate labels along `dim` as plain Python values."""
        return list(np.asarray(self._array(dim)[:]).tolist())

    def intact_labels(self, dim: str) -> list[Any]:
        """Labels up to the first that is lost: `allocate` drops what follows, which could be taken for another's."""
        if not self.has(dim):
            return []
        there, labels = self.done(dim), self.labels(dim)
        return labels if there.all() else labels[: int(there.argmin()) * self._array(dim).chunks[0]]

    def n_intact(self, dim: str) -> int:
        """Number of `intact_labels`, which are not read where none is lost."""
        if self.has(dim) and self.done(dim).all():
            return int(self._array(dim).shape[0])
        return len(self.intact_labels(dim))

    def position(self, dim: str, label: Any) -> int:
        """Index of a coordinate label.

        Raises
        ------
        InputError
            If the label is not there; the message lists those that are.
        """
        known = self.labels(dim)
        if label not in known:
            listed = ", ".join(map(str, known[:20]))
            raise InputError(f"{self.store} has no {dim} {label!r} in {self.name!r}; it has {listed}")
        return known.index(label)

    def done(self, variable: str) -> np.ndarray:
        """Which files of a variable are there, of a chunk or a shard each: a bool array over their grid."""
        grid = self._grid(variable)
        found = np.zeros([-(-n // size) for n, size in zip(grid.shape, grid.files, strict=True)], dtype=bool)
        _mark_files(str(self.path / variable / "c"), found)
        return found

    def files(self, variable: str) -> Iterator[tuple[Path, list[dict[str, slice]]]]:
        """Every file of a variable that is there, and the position of each of its chunks, as `read` takes them."""
        array, dims = self._array(variable), _dims(self._array(variable))
        whole = sharding.file_shape(array)
        for at in np.argwhere(self.done(variable)).tolist():
            cuts = [
                [slice(i * size + start, i * size + stop) for start, stop in ranges(min(size, n - i * size), chunk)]
                for i, size, n, chunk in zip(at, whole, array.shape, array.chunks, strict=True)
            ]
            chunks = [dict(zip(dims, chunk, strict=True)) for chunk in itertools.product(*cuts)]
            yield self.path.joinpath(variable, "c", *map(str, at)), chunks

    def complete(self, *dims: str) -> np.ndarray:
        """For every label along `dims`, whether all is there of the variables whose first dimensions these are."""
        found: list[np.ndarray] = []
        for name in self.variables:
            added = name in self.schema and self.schema[name].added
            if self._grid(name).dims[: len(dims)] == dims and name not in dims and not added:
                there = self.done(name)
                found.append(np.asarray(there.all(axis=tuple(range(len(dims), there.ndim)))))
        if dims and not found:  # the disk was full before there was any
            return np.zeros([self.sizes.get(dim, 0) for dim in dims], dtype=bool)
        # A stop while the group grew leaves some variables longer than others, which is no label's room yet.
        common = tuple(slice(min(lengths)) for lengths in zip(*(there.shape for there in found), strict=True))
        return np.asarray(np.logical_and.reduce([there[common] for there in found]) if found else True)

    # ---------------------------------------------------------------- allocate and remove

    def allocate(
        self,
        *,
        coords: Mapping[str, Sequence[Any] | np.ndarray | int],
        chunks: Mapping[str, int],
        recipe: Mapping[str, Any],
        shards: Mapping[str, int] | None = None,
        variables: Sequence[str] | None = None,
        dtypes: Mapping[str, str] | None = None,
        attrs: Mapping[str, Any] | None = None,
        own: Mapping[str, schema.Variable] | None = None,
    ) -> None:
        """Make the arrays of the group, or check that they are what is asked for; grow along `layer` and `seed`.

        Parameters
        ----------
        coords
            For every dimension its labels, or its length where it has none.
        chunks
            Chunk length for the dimensions that are split; others are one chunk (`layer` and `seed`: 1).
        recipe
            What makes the data: anything JSON can hold. Kept in the group, compared on every later call.
        shards
            For dimensions along which a file holds several chunks, the length it holds at least; arrays that are there
            keep their files as they are.
        variables
            Names from the schema; all whose dimensions are in `coords` by default.
        dtypes
            Data types other than the schema's.
        attrs
            Further attributes of the group, not compared.
        own
            Variables that the schema does not know: those of a further measure.

        Raises
        ------
        StoreMismatchError
            If the group exists with another recipe, other labels or other lengths; names what differs.
        """
        rows = {**self.schema, **(own or {})}
        names = [n for n in rows if n not in coords] if variables is None else list(variables)
        names = [n for n in names if all(d in coords for d in rows[n].dims)]
        recipe = json.loads(json.dumps(dict(recipe)))
        self._arrays.clear()
        if self.exists():
            self.refuse_other_recipe(recipe)
        else:
            self.remove()  # what a removal cut short has left of it
            zarr.open_group(str(self.store), mode="a")
            # With its recipe at once: a group without one would pass for one of other settings.
            made = {"recipe": recipe, "versions": [VERSION]}
            zarr.create_group(str(self.store), path=self.name, attributes=made | dict(attrs or {}))
        lengths = {d: self._settle_coordinate(d, labels) for d, labels in coords.items()}
        for name in names:
            shape = tuple(lengths[d] for d in rows[name].dims)
            self._settle_variable(
                name, rows[name], shape, chunks, shards or {}, (dtypes or {}).get(name, rows[name].dtype)
            )
        if self._given_back().get("variable") in names:
            del self._to_change().attrs[GIVEN_BACK]

    def refuse_other_recipe(self, recipe: Mapping[str, Any]) -> None:
        """Raise StoreMismatchError naming every key of the group's recipe that differs from `recipe`."""
        differences = different_settings(self.attributes.get("recipe", {}), recipe, self.name)
        if differences:
            raise StoreMismatchError.of_settings(self.store, self.name, differences)

    def remove(self) -> None:
        """Delete the group; used to redo a stage."""
        self._arrays.clear()
        if self.path.exists():
            # The marker goes first: a half-deleted group must not look like a complete one.
            (self.path / "zarr.json").unlink(missing_ok=True)
            shutil.rmtree(self.path)

    def _settle_coordinate(self, dim: str, labels: Sequence[Any] | np.ndarray | int) -> int:
        if isinstance(labels, int | np.integer):
            return int(labels)
        new = list(np.asarray(labels).tolist())
        old = self.intact_labels(dim)  # others: a stop after room was made for labels, before they were written
        whole = not self.has(dim) or bool(self.done(dim).all())
        if old == new and whole:
            return len(old)
        if old and dim not in GROWING:
            differ = [f"{a!r} then, {b!r} now" for a, b in zip(old, new, strict=False) if a != b]
            raise StoreMismatchError(
                f"{self.store}: {self.name!r} has {len(old)} {dim}s, now {len(new)}"
                + (f" (the first that differs: {differ[0]})" if differ else "")
                + ". The set of images changed: name another `store:`, or run the stage with --redo"
            )
        merged = old + [label for label in new if label not in old]
        if merged != old or not whole:
            self._write_labels(dim, old, merged, whole=whole)
        return len(merged)

    def _write_labels(self, dim: str, old: Sequence[Any], merged: Sequence[Any], *, whole: bool) -> None:
        # Data first, coordinate last: a stop in between leaves spare room, never a label without room.
        # What has lost its label is dropped: it could be taken for another's.
        for length in [len(merged)] if whole else [len(old), len(merged)]:
            self._resize(dim, length)
        if self.has(dim) and dim in GROWING:
            self._array(dim, "r+").resize((len(merged),))
        else:
            chunk = 1 if dim in GROWING else len(merged) or 1
            create_array(self.store, self.name, dim, (len(merged),), (chunk,), self.schema[dim].dtype)
        self._arrays.clear()
        self._array(dim, "r+")[:] = _as_array(merged)

    def _resize(self, dim: str, length: int) -> None:
        for name in self.variables:
            array = self._open_array(name, "r+")
            dims = _dims(array)
            if dim in dims and name != dim:
                array.resize(tuple(length if d == dim else n for d, n in zip(dims, array.shape, strict=True)))

    def _settle_variable(
        self,
        name: str,
        row: schema.Variable,
        shape: tuple[int, ...],
        chunks: Mapping[str, int],
        shards: Mapping[str, int],
        dtype: str,
    ) -> None:
        dims = row.dims
        if not self.has(name):
            lengths = zip(dims, shape, strict=True)
            sizes = tuple(max(int(chunks.get(d, 1 if d in GROWING else n)), 1) for d, n in lengths)
            files = tuple(-(-shards.get(d, size) // size) * size for d, size in zip(dims, sizes, strict=True))
            row = schema.scaled(row, self.attributes.get("recipe", {}))
            create_array(self.store, self.name, name, shape, sizes, dtype, row, shards=files)
            return
        array = self._array(name, "r+")
        fixed = [i for i, d in enumerate(dims) if d not in GROWING]
        if any(array.shape[i] != shape[i] for i in fixed):
            raise StoreMismatchError(
                f"{self.store}: {self.name}/{name} has shape {array.shape}, now {shape}: name another `store:`, or run "
                "the stage with --redo"
            )
        if array.shape != shape:
            array.resize(shape)
            self._arrays.clear()

    # ---------------------------------------------------------------- read and write

    def write(self, variable: str, values: Any, **index: slice | int) -> None:
        """Write whole files of a variable.

        Parameters
        ----------
        variable
            Name of the variable.
        values
            Array of the region's shape; an integer index drops its dimension.
        **index
            Position along a dimension: a slice or an integer; whole dimensions where not named.

        Raises
        ------
        ValueError
            If the region does not cover whole files: two writers could then lose each other's data.
        """
        if self._is_path(variable):
            values = kept_paths(np.asarray(values).tolist(), self.store)
        self.write_parts(variable, [(index, values)])

    def write_parts(self, variable: str, parts: Iterable[tuple[Mapping[str, slice | int], Any]]) -> None:
        """Write whole files of a variable part by part, so that no more than a part is in memory.

        Parameters
        ----------
        variable
            Name of the variable.
        parts
            Position and values of each, as `write` takes them: whole chunks, which together cover whole files.

        Raises
        ------
        ValueError
            If they do not.
        """
        array = self._array(variable, "r+")
        with sharding.whole_files(array):
            for index, values in parts:
                array[_selection(array, index, f"{self.name}/{variable}", whole_chunks=True)] = _as_array(values)

    def write_column(self, dim: str, name: str, values: Sequence[str]) -> None:
        """Write a text column along `dim` that the schema does not know: what a user's own table brings along."""
        if self.has(name) and self.labels(name) == list(values):
            return
        row = schema.Variable((dim,), "str", f"column {name} of the user's table")
        create_array(self.store, self.name, name, (len(values),), (max(len(values), 1),), "str", row)
        self._arrays.clear()
        self._array(name, "r+")[:] = _as_array(list(values))

    def read(self, variable: str, *, out: np.ndarray | None = None, **index: Index) -> np.ndarray:
        """Read a region of a variable.

        Parameters
        ----------
        variable
            Name of the variable.
        out
            Array of the region's shape to read into, in its type: memory that is used again need not be cleared by the
            system for every region.
        **index
            Slices, integers, or integer arrays (orthogonally) by dimension.

        Raises
        ------
        InputError
            If there is no such variable, or a chunk is damaged.
        """
        array = self._array(variable)
        selection = _selection(array, index, f"{self.name}/{variable}")
        buffer = None if out is None else NDBuffer.from_numpy_array(out)
        try:
            values = np.asarray(array.get_orthogonal_selection(selection, out=buffer))
        except Exception as error:
            raise InputError(
                f"{self.store}: {self.name}/{variable} cannot be read at {index or 'any index'} ({error}). A chunk may "
                "be damaged: `distspc verify STUDY.yaml` names damaged chunks and removes them, so that the next run "
                "makes them again"
            ) from error
        if not self._is_path(variable):
            return values
        paths = absolute_paths(np.atleast_1d(values).tolist(), self.store)
        return np.asarray(paths, np.dtypes.StringDType()).reshape(values.shape)

    def _is_path(self, variable: str) -> bool:
        return variable in self.schema and self.schema[variable].is_path

    def load(self, *variables: str, **labels: Any) -> xr.Dataset:
        """Read variables into memory with their coordinates, for use by label.

        Parameters
        ----------
        *variables
            Names of variables.
        **labels
            One label of a dimension, which is dropped; whole dimensions where not named.

        Raises
        ------
        InputError
            As `read` and `position`.
        """
        import xarray as xr

        index: dict[str, Any] = {dim: self.position(dim, label) for dim, label in labels.items()}
        found = {}
        for name in variables:
            dims = _dims(self._array(name))
            values = self.read(name, **{dim: at for dim, at in index.items() if dim in dims})
            found[name] = (tuple(dim for dim in dims if dim not in index), values)
        coords = {dim for dims, _ in found.values() for dim in dims if self.has(dim)}
        return xr.Dataset(found, coords={dim: self.labels(dim) for dim in sorted(coords)})

    # ---------------------------------------------------------------- opened once

    def _refuse_absent(self) -> None:
        if not self.exists():
            raise InputError(f"{self.store} holds no {self.name!r}: run the stage that makes it first")

    def _to_change(self) -> zarr.Group:
        return zarr.open_group(str(self.store), path=self.name, mode="r+")

    def _given_back(self) -> dict[str, Any]:
        return dict(self.attributes.get(GIVEN_BACK, {})) if self.exists() else {}

    def _why_absent(self, variable: str) -> str:
        known = self._given_back()
        if known.get("variable") != variable:
            return ""
        way_out = "`distspc extract STUDY.yaml --extract-again` makes it again"
        return f": it was given back on {known['when'][:10]} ({format_nbytes(known['nbytes'])}); {way_out}"

    def _array(self, variable: str, mode: str = "r") -> zarr.Array:
        if (variable, mode) not in self._arrays:
            self._arrays[variable, mode] = self._open_array(variable, mode)
        return self._arrays[variable, mode]

    def _grid(self, variable: str) -> Grid:
        with self._described(variable) as folder:
            return read_grid(folder)

    @contextmanager
    def _described(self, variable: str) -> Iterator[Path]:
        """Give the folder of a variable; explain what its description lacks."""
        where = self.path / variable / "zarr.json"
        if not where.exists():
            why = self._why_absent(variable)
            raise InputError(f"{self.store} holds no variable {variable!r} in {self.name!r}{why}")
        try:
            yield where.parent
        except (ValueError, KeyError, TypeError) as error:  # of JSON, of text, or of what the file says
            way_out = f"put it back from a copy, or delete {self.path} and run the study again"
            raise InputError(f"{where} is damaged ({error}): {way_out}") from error

    def _open_array(self, variable: str, mode: str) -> zarr.Array:
        with self._described(variable) as folder:
            array = sharding.open_array(folder, mode)
            array = array or zarr.open_array(str(self.store), path=f"{self.name}/{variable}", mode=mode)
        # A chunk of nothing but fill values is written too: its file says that it is done. (open_array drops `config`.)
        return array.with_config({"write_empty_chunks": True})


def refuse_links(root: Path, path: Path) -> None:
    """Refuse a path with a link on the way down from a folder: what lies behind it may be anything.

    Raises
    ------
    InputError
        Names the link.
    """
    for part in (path, *path.parents):
        if part == root:
            return
        if part.is_symlink():
            raise InputError(
                f"{part} is a link to {os.readlink(part)}: nothing is removed through it; remove what it leads to "
                "yourself"
            )


def folder_nbytes(folder: Path) -> int:
    """Bytes of all files in a folder, links not followed."""
    paths = (os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
    return sum(file_nbytes(path) for path in paths)


def file_nbytes(path: str | Path) -> int:
    """Bytes of a file, of a link those of the link; 0 of one that is gone meanwhile."""
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def different_settings(old: Mapping[str, Any], recipe: Mapping[str, Any], group: str) -> str:
    """Say which keys of a group's recipe differ from those asked for; empty where none does."""
    absent = schema.ABSENT_KEYS.get(group.split("/")[0], {})
    old, new = absent | dict(old), absent | json.loads(json.dumps(dict(recipe)))
    new = {k: v for k, v in new.items() if k in old or k not in schema.ADDED_KEYS.get(group, ())}
    different = [k for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
    return "; ".join(f"{k} was {_short(old.get(k))}, now {_short(new.get(k))}" for k in different)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _dims(array: zarr.Array) -> tuple[str, ...]:
    return tuple(str(name) for name in array.metadata.dimension_names or ())  # type: ignore[union-attr]


def _as_array(values: Sequence[Any]) -> np.ndarray:
    array = np.asarray(values)
    return array.astype(np.dtypes.StringDType()) if array.dtype.kind in "UO" else array


def _mark_files(folder: str, found: np.ndarray) -> None:
    """Mark the files there are, named by position in a folder for every leading position."""
    # One listing per folder, not one question per file: stores of a million images have millions of files.
    if found.shape == (1,):  # of shards there is one to a folder
        found[0] = os.path.exists(f"{folder}/0")
        return
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    positions = [int(name) for name in names if name.isdigit()]
    if found.ndim == 1:
        found[positions] = True
        return
    for i in positions:
        _mark_files(f"{folder}/{i}", found[i])


def _selection(
    array: zarr.Array, index: Mapping[str, Index], name: str, *, whole_chunks: bool = False
) -> tuple[Index, ...]:
    dims = _dims(array)
    unknown = set(index) - set(dims)
    if unknown:
        raise ValueError(f"{name} has no dimension {', '.join(sorted(unknown))}; it has {', '.join(dims)}")
    found = tuple(index.get(d, slice(None)) for d in dims)
    if whole_chunks:
        for part, dim, n, chunk in zip(found, dims, array.shape, array.chunks, strict=True):
            start, stop, _ = part.indices(n) if isinstance(part, slice) else (int(part), int(part) + 1, 1)
            if start % chunk or (stop % chunk and stop != n):
                raise ValueError(f"{name}: {dim} {start}:{stop} does not cover whole chunks of {chunk}")
    return found
