"""Matrices of features that others made, (images, features) with names: opened, read some rows at a time.

A row is an image. What can be read in parts is (.npy, uncompressed .npz, HDF5, Zarr); compressed .npz, CSV and Parquet
are held whole, once a process.
"""

from __future__ import annotations

import functools
import math
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distspc.errors import InputError
from distspc.io.csv_tables import is_unnamed
from distspc.io.files import irregularity, os_reason
from distspc.messages import counted

if TYPE_CHECKING:
    import pandas as pd

NAMES_FILE = "file_names.txt"
"""Names of the rows beside a matrix, as THINGSvision writes them."""
NAMES_WORDS = tuple(
    form for word in ("image", "file", "path", "name", "image_name", "file_name") for form in (word, word + "s")
)
"""Columns and arrays that are taken for the names where none are named."""


@dataclass(frozen=True)
class MatrixSource:
    """A matrix as the user named it.

    Attributes
    ----------
    file : str
        ``.npy``, ``.npz``, ``.h5``, ``.hdf5``, ``.csv``, ``.tsv``, ``.parquet`` or ``.zarr``.
    array : str or None
        Name of the array in a file of several; None: the layer's.
    names : str or None
        The names of the rows: a file (absolute, or beside the matrix), or a column or array of the file itself. None:
        `NAMES_FILE` beside it, one of `NAMES_WORDS` in it, or the names of an .npz of one array an image.
    """

    file: str
    array: str | None = None
    names: str | None = None


@dataclass(frozen=True)
class Matrix:
    """An open matrix.

    Attributes
    ----------
    names : tuple of str
        A name for each row.
    shape : tuple of int
        Shape of one row, usually (feature,).
    dtype : numpy.dtype
        As the file has it.
    rows : callable
        Gives the rows at some positions, (position, *shape).
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    rows: Callable[[np.ndarray], np.ndarray]

    @property
    def storage(self) -> str:
        """The type it is stored as: float16 as it is, all else as float32."""
        return "float16" if self.dtype == np.float16 else "float32"


def open_matrix(source: MatrixSource, layer: str) -> Matrix:
    """Open a matrix, or give the one that this process has open while its file stays as it is.

    Parameters
    ----------
    source
        The matrix.
    layer
        Name of the layer, which an array of the file may bear.

    Returns
    -------
    Matrix

    Raises
    ------
    InputError
        If the file is missing, damaged, of another kind, has no such array or names, or as many names as rows.
    """
    try:
        status = os.stat(source.file)
    except OSError as error:
        raise InputError(f"activations {source.file!r} {os_reason(error)}") from error
    reason = irregularity(status)
    if reason and Path(source.file).suffix.lower() in set(MATRIX_FILES) - {".zarr"}:
        raise InputError(f"activations {source.file!r} {reason}: expected a file of features")
    return _open(source, layer, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _open(source: MatrixSource, layer: str, nbytes: int, modified: int) -> Matrix:
    kind = Path(source.file).suffix.lower()
    if kind not in _OPENERS:
        raise InputError(
            f"activations {source.file!r}: expected one of {', '.join(_OPENERS)}, "
            "or a folder of <layer>/Targets/<i>.npy"
        )
    try:
        return _OPENERS[kind](source, layer)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"activations {source.file!r} cannot be read as {kind} ({error})") from error


# ---------------------------------------------------------------- arrays


def _open_npy(source: MatrixSource, layer: str) -> Matrix:
    return _from_array(np.lib.format.open_memmap(source.file, mode="r"), source, {})


def _open_npz(source: MatrixSource, layer: str) -> Matrix:
    if not zipfile.is_zipfile(source.file):  # NumPy would take it for a pickle, or for an .npy file
        raise ValueError("it is no .npz file, or was cut off")
    archive = np.load(source.file, allow_pickle=False)
    name = _array_name(source, layer, archive.files)
    if name is None:
        return _from_entries(archive, source, layer)
    return _from_array(_mapped(source.file, f"{name}.npy"), source, archive)


def _mapped(file: str, entry: str) -> np.ndarray:
    """An array of an archive: mapped where it is stored as it is, else read."""
    with zipfile.ZipFile(file) as archive, archive.open(entry) as stream:
        info, version = archive.getinfo(entry), np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_columns, dtype = read_header(stream)
        n_header = stream.tell()
    if info.compress_type != zipfile.ZIP_STORED or dtype.hasobject or not math.prod(shape):
        with np.load(file, allow_pickle=False) as arrays:
            return np.asarray(arrays[entry.removesuffix(".npy")])
    with open(file, "rb") as plain:  # before the array: 30 bytes, of which the last say how long two more parts are
        plain.seek(info.header_offset + 26)
        n_more = int(np.frombuffer(plain.read(4), "<u2").sum())
    return np.memmap(file, dtype, "r", info.header_offset + 30 + n_more + n_header, shape, "F" if in_columns else "C")


def _from_entries(archive: Any, source: MatrixSource, layer: str) -> Matrix:
    """A file with an array an image, by its name, each (feature,) or (1, feature), as Net2Brain writes a layer."""
    names = tuple(archive.files)
    if not names or source.names is not None or source.array is not None or set(names) & set(NAMES_WORDS):
        wanted = source.array or layer
        raise InputError(f"activations {source.file!r} has no array {wanted!r}; it has {_some(archive.files)}")
    first = archive[names[0]]
    shape = first.shape[1:] if first.ndim > 1 and first.shape[0] == 1 else first.shape

    def rows(positions: np.ndarray) -> np.ndarray:
        values = [archive[names[i]] for i in positions]
        odd = next((i for i, value in zip(positions, values, strict=True) if value.size != math.prod(shape)), None)
        if odd is not None:
            raise InputError(f"activations {source.file!r}: {names[odd]} has another shape than {names[0]}, {shape}")
        return np.stack([value.reshape(shape) for value in values])

    return _checked(Matrix(names, shape, first.dtype, rows), source)


def _open_hdf5(source: MatrixSource, layer: str) -> Matrix:
    import h5py

    file = h5py.File(source.file, "r")
    found = [name for name, item in file.items() if isinstance(item, h5py.Dataset)]
    wanted = source.array or layer
    if isinstance(file.get(wanted), h5py.Dataset):
        return _from_array(file[wanted], source, file)
    name = _array_name(source, layer, found)
    if name is None:
        raise InputError(f"activations {source.file!r} has no array {wanted!r}; it has {_some(found)}")
    return _from_array(file[name], source, file)


def _open_zarr(source: MatrixSource, layer: str) -> Matrix:
    from distspc.store.foreign import open_array

    array = open_array(source.file, source.array or layer)
    inside = {}
    for name in (source.names,) if source.names else NAMES_WORDS:
        if os.path.isdir(os.path.join(source.file, name)):
            inside[name] = open_array(source.file, name)
    return _from_array(array, source, inside)


def _array_name(source: MatrixSource, layer: str, there: Sequence[str]) -> str | None:
    """The array that is meant: the one that is named, the layer's, or the only one beside the names."""
    for name in (source.array, layer):
        if name in there:
            return name
    names = {source.names, *NAMES_WORDS}
    others = [name for name in there if name not in names]
    lone = source.array is None and len(others) == 1 and (len(there) > 1 or source.names is not None)
    return others[0] if lone else None


def _from_array(array: Any, source: MatrixSource, inside: Mapping[str, Any]) -> Matrix:
    if len(array.shape) < 2:
        raise InputError(f"activations {source.file!r} has shape {array.shape}, expected (images, features)")
    names = _named_rows(source, inside.get)
    if len(names) != array.shape[0]:
        raise InputError(
            f"activations {source.file!r} has {counted(array.shape[0], 'row')}, but {counted(len(names), 'name')}"
        )

    def rows(positions: np.ndarray) -> np.ndarray:
        order, back = np.unique(positions, return_inverse=True)  # HDF5 reads in order alone
        return np.asarray(getattr(array, "oindex", array)[order])[back]

    return _checked(Matrix(names, tuple(int(n) for n in array.shape[1:]), np.dtype(array.dtype), rows), source)


def _checked(matrix: Matrix, source: MatrixSource) -> Matrix:
    if matrix.dtype.kind not in "fiu":
        raise InputError(f"activations {source.file!r} holds {matrix.dtype}, expected numbers")
    if not math.prod(matrix.shape):
        raise InputError(f"activations {source.file!r} has rows of shape {matrix.shape}, expected at least one feature")
    return matrix


# ---------------------------------------------------------------- tables


def _open_csv(source: MatrixSource, layer: str) -> Matrix:
    import pandas as pd

    with open(source.file, encoding="utf-8-sig") as stream:
        header = stream.readline()
    delimiter = max("\t;,", key=header.count)
    text = dict.fromkeys([name for name in (source.names, *NAMES_WORDS) if name], str)
    frames = [
        pd.read_csv(source.file, sep=delimiter, decimal=decimal, encoding="utf-8-sig", dtype=text)
        for decimal in (",." if delimiter == ";" else ".")
    ]
    return _from_table(min(frames, key=lambda frame: len(_texts(dict(frame)))), source)


def _open_parquet(source: MatrixSource, layer: str) -> Matrix:
    import pandas as pd

    try:
        frame = pd.read_parquet(source.file)
    except ImportError as error:
        raise InputError(
            f"activations {source.file!r}: reading Parquet needs pip install 'distspc[parquet]'"
        ) from error
    if source.names in frame.index.names or (source.names is None and frame.index.dtype.kind not in "iuf"):
        frame = frame.reset_index()
        frame = frame.rename(columns={frame.columns[0]: source.names or "image"})
    return _from_table(frame, source)


def _from_table(frame: pd.DataFrame, source: MatrixSource) -> Matrix:
    """A matrix from a table: a column of names, all others numbers."""
    columns = {str(name): frame[name] for name in frame.columns}
    first = next(iter(columns))
    if source.names is None and is_unnamed(first) and columns[first].dtype.kind not in "iuf":
        columns = {"image": columns.pop(first), **columns}  # an index that was written out
    names = _named_rows(source, columns.get)
    used = [source.names] if source.names else [name for name in NAMES_WORDS if name in columns][:1]
    features = {name: column for name, column in columns.items() if name not in used and not is_unnamed(name)}
    odd = _texts(features)
    if odd or not features:
        what = f"column {odd[0]!r}, which does not hold numbers{_such_as(features[odd[0]])}" if odd else "no numbers"
        raise InputError(
            f"activations {source.file!r} has {what}: leave it out, or name the column of names as `names`"
        )
    if len(names) != len(frame):
        raise InputError(
            f"activations {source.file!r} has {counted(len(frame), 'row')}, but {counted(len(names), 'name')}"
        )
    values = np.column_stack([column.to_numpy(np.float32) for column in features.values()])
    return _checked(Matrix(names, values.shape[1:], values.dtype, lambda positions: values[positions]), source)


def _texts(columns: Mapping[str, pd.Series]) -> list[str]:
    """Names of the columns that hold something else than numbers."""
    return [name for name, column in columns.items() if column.dtype.kind not in "iuf"]


def _such_as(column: pd.Series) -> str:
    import pandas as pd

    entries = column[column.notna() & pd.to_numeric(column, errors="coerce").isna()]
    return f" ({entries.iloc[0]!r})" if len(entries) else ""


# ---------------------------------------------------------------- names


def _named_rows(source: MatrixSource, inside: Callable[[str], Any]) -> tuple[str, ...]:
    """Names of the rows, from a file or from the matrix's own."""
    beside = Path(source.file).parent / (source.names or NAMES_FILE)
    if beside.is_file():
        return _read_names(beside)
    for name in (source.names,) if source.names else NAMES_WORDS:
        found = inside(name)
        if found is not None:
            return tuple(_text(entry) for entry in np.asarray(found).ravel().tolist())
    wanted = f"{source.names!r} is neither a file nor in it" if source.names else "nothing names its rows"
    raise InputError(
        f"activations {source.file!r}: {wanted}: name as `names` a file with a name a line, or a column or array of it"
    )


def _read_names(file: Path) -> tuple[str, ...]:
    try:
        if file.suffix == ".npy":
            return tuple(_text(entry) for entry in np.load(file, allow_pickle=False).ravel().tolist())
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"names of the rows {str(file)!r} cannot be read ({error})") from error
    return tuple(line.strip() for line in lines if line.strip())


def _text(entry: Any) -> str:
    if isinstance(entry, bytes):
        return entry.decode("utf-8", "replace")
    return str(int(entry)) if isinstance(entry, float) and entry.is_integer() else str(entry)


def _some(names: Sequence[str]) -> str:
    return (", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")) or "none"


_OPENERS: dict[str, Callable[[MatrixSource, str], Matrix]] = {
    ".npy": _open_npy,
    ".npz": _open_npz,
    ".h5": _open_hdf5,
    ".hdf5": _open_hdf5,
    ".csv": _open_csv,
    ".tsv": _open_csv,
    ".parquet": _open_parquet,
    ".zarr": _open_zarr,
}
MATRIX_FILES = tuple(_OPENERS)
ONE_MATRIX_FILES = (".npy", ".csv", ".tsv", ".parquet")
"""Kinds of files that hold no more than one matrix."""
