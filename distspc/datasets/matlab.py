"""The image sets of Isola et al. (2011) from their MATLAB files to folders of numbered image files.

Each file holds one variable ``img``, uint8 or logical (false is written as 0, true as 255), in MATLAB (row, column,
channel, image). MATLAB 7.3 files (HDF5) are
streamed: memory is that of one storage chunk. Older files are read by SciPy as a whole: memory is that of the
variable, 0.47 GB for the 2,400 targets and 1.6 GB for the 8,042 fillers at 256 x 256.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from distspc.errors import InputError
from distspc.io.files import written_whole
from distspc.messages import counted

VARIABLE = "img"
N_TARGETS = 2222
FOLDERS = ("Targets", "Fillers")
# MATLAB's imwrite: quality 75, colour at half the resolution. These files, not the matrix, gave the published numbers.
_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("jpg", {"format": "JPEG", "quality": 75, "subsampling": "4:2:0"}),
    "png": ("png", {"format": "PNG"}),
}
MAX_READ_NBYTES = 2**28


def convert(
    target_mat: str | os.PathLike[str],
    filler_mat: str | os.PathLike[str] | None,
    directory: str | os.PathLike[str],
    *,
    format: str = "jpeg",  # as Pillow calls it
    n_targets: int = N_TARGETS,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[int, int]:
    """Write the images of the MATLAB files as ``<directory>/Targets/<i>.jpg`` and ``Fillers/<i>.jpg``, i from 1.

    Files that an earlier, broken-off conversion wrote are written anew.

    Parameters
    ----------
    target_mat
        File of targets; the first `n_targets` are taken (the rest are textures).
    filler_mat
        File of fillers, all of which are taken; None for none.
    directory
        Where the two folders go.
    format
        ``jpeg``: as MATLAB writes by default (quality 75, 4:2:0), as the paper's were. ``png``: without loss.
    n_targets
        Number of targets.
    progress
        Called with the folder's name, the images written and their total.

    Returns
    -------
    tuple of int
        Targets and fillers written.

    Raises
    ------
    InputError
        If a file is damaged, or holds something else; or a folder holds other images already.
    """
    if format not in _FORMATS:
        raise InputError(f"format {format!r} is not one of {', '.join(_FORMATS)}")
    if n_targets < 1:
        raise InputError(f"number of targets {n_targets} is not at least 1; say how many of the first file count")
    written = [0, 0]
    wanted: tuple[int | None, ...] = (n_targets, None)
    for k, (file, folder, n) in enumerate(zip((target_mat, filler_mat), FOLDERS, wanted, strict=True)):
        if file is not None:
            written[k] = _convert_file(Path(file), Path(directory) / folder, format, n, progress)
    return written[0], written[1]


def _convert_file(
    file: Path, folder: Path, kind: str, n: int | None, progress: Callable[[str, int, int], None] | None
) -> int:
    import PIL.Image

    suffix, options = _FORMATS[kind]
    with _open_images(file) as (n_there, images):
        n = n_there if n is None else n
        if n > n_there:
            raise InputError(
                f"MATLAB file {str(file)!r} holds {counted(n_there, 'image')}, expected at least {n}: take the whole "
                "file, or say how many count"
            )
        _refuse_others(folder, suffix, n)
        _make_folder(folder)
        for i, image in zip(range(1, n + 1), images, strict=False):
            stream = io.BytesIO()
            PIL.Image.fromarray(image).save(stream, **options)
            with written_whole(folder / f"{i}.{suffix}") as beside:
                beside.write_bytes(stream.getvalue())
            if progress is not None:
                progress(folder.name, i, n)
    return n


def _refuse_others(folder: Path, suffix: str, n: int) -> None:
    """Refuse to add to a folder with images that would get into the study beside these."""
    names = os.listdir(folder) if folder.is_dir() else []
    for name in names:
        match = re.fullmatch(rf"([1-9][0-9]*)\.{suffix}", name)
        ours = name.startswith(".") or (match is not None and int(match[1]) <= n)
        if not ours:
            raise InputError(f"folder {str(folder)!r} holds {name!r} already: name a new folder")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"folder {str(folder)!r}: a part of this path is a file already: name a new folder") from error


@contextmanager
def _open_images(file: Path) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
    """Number of images and the images, uint8 (row, column, 3), of a MATLAB file of either kind."""
    import h5py

    if not file.is_file():
        raise InputError(f"MATLAB file {str(file)!r}: there is no such file; check its path")
    if not h5py.is_hdf5(file):
        images, scale = _load_v5(file)
        yield images.shape[3], (np.ascontiguousarray(images[..., i] * scale) for i in range(images.shape[3]))
        return
    try:
        stream = h5py.File(file, "r")
    except OSError as error:
        raise InputError(f"MATLAB file {str(file)!r} is damaged ({error}): download it again") from error
    with stream:
        dataset, scale = _find_v73(stream, file)
        yield dataset.shape[0], (image * scale for image in stream_v73(dataset, file))


def _load_v5(file: Path) -> tuple[np.ndarray, np.uint8]:
    """Images (row, column, channel, image) and what to multiply them by."""
    import scipy.io

    try:
        classes = {name: kind for name, _, kind in scipy.io.whosmat(file)}
        content = scipy.io.loadmat(file, variable_names=[VARIABLE])
    except Exception as error:  # damaged files raise nearly everything
        raise InputError(
            f"MATLAB file {str(file)!r} is damaged or no MATLAB file ({error}): download it again"
        ) from error
    if VARIABLE not in content:
        raise InputError(_no_variable(file, list(classes)))
    images = content[VARIABLE]
    _refuse_class(file, classes[VARIABLE], getattr(getattr(images, "dtype", None), "names", None) or ())
    images = np.asarray(images)
    images = images[..., np.newaxis] if images.ndim == 3 else images  # MATLAB drops a last length of 1
    _check_kind(file, images.dtype, images.shape, images[..., 0] if images.ndim == 4 and images.size else None)
    return images, _scale(file, classes[VARIABLE] == "logical", (images[..., i] for i in range(images.shape[3])))


def _find_v73(stream: Any, file: Path) -> tuple[Any, np.uint8]:
    """Images (image, channel, column, row) and what to multiply them by."""
    import h5py

    dataset = stream.get(VARIABLE)
    if dataset is None:
        raise InputError(_no_variable(file, [name for name in stream if not name.startswith("#")]))
    kind = dataset.attrs.get("MATLAB_class", b"")
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    if isinstance(dataset, h5py.Group):
        sparse = "MATLAB_sparse" in dataset.attrs
        _refuse_class(file, "sparse" if sparse else "struct", () if sparse else list(dataset))
    _refuse_class(file, kind, ())
    shape = dataset.shape[::-1] if dataset.ndim == 4 else dataset.shape
    dtype = np.dtype(np.uint8) if dataset.dtype == bool else dataset.dtype
    try:
        first = dataset[0] if dataset.ndim == 4 and dataset.size and dtype != np.uint8 else None
    except (OSError, RuntimeError):
        first = None
    _check_kind(file, dtype, shape, first)
    is_logical = kind == "logical" or dataset.dtype == bool
    return dataset, _scale(file, is_logical, stream_v73(dataset, file))


def _scale(file: Path, is_logical: bool, images: Iterable[np.ndarray]) -> np.uint8:
    """255 for a logical array, 1 for bytes; bytes that are all 0 or 1 are refused, after a look at those needed."""
    if is_logical:
        return np.uint8(255)
    if not any(image.max() > 1 for image in images):
        raise InputError(
            f"MATLAB file {str(file)!r}: {VARIABLE!r} is uint8 with values 0 and 1 only, expected 0 to 255; "
            f"save it as {VARIABLE} = uint8({VARIABLE}) * 255, or as logical"
        )
    return np.uint8(1)


def _refuse_class(file: Path, kind: str, fields: Sequence[str]) -> None:
    """Refuse a variable that is no array of numbers."""
    if kind in ("struct", "cell", "sparse", "object", "function", "opaque", "function_handle", "table"):
        shape = f" with the fields {', '.join(fields)}" if fields else ""
        inner = {"cell": f"cat(4, {VARIABLE}{{:}})", "struct": f"{VARIABLE}.FIELD"}
        way_out = f"; save the array itself: {VARIABLE} = {inner[kind]}" if kind in inner else ""
        raise InputError(
            f"MATLAB file {str(file)!r}: {VARIABLE!r} is a {kind}{shape}, expected an array, uint8 or logical "
            f"(row, column, 3, image){way_out}"
        )


def stream_v73(dataset: Any, file: Path, *, max_read_nbytes: int = MAX_READ_NBYTES) -> Iterator[np.ndarray]:
    """Images in order; axes arrive reversed, (image, channel, column, row). Reads whole storage chunks, unless huge."""
    n_images, per_image = dataset.shape[0], int(np.prod(dataset.shape[1:]))
    step = (dataset.chunks or (1,))[0]
    step = max(1, min(step, max_read_nbytes // per_image))
    for start in range(0, n_images, step):
        try:
            part = dataset[start : start + step]
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"MATLAB file {str(file)!r} is damaged from image {start + 1} on ({error}): download it again"
            ) from error
        for image in part:
            yield np.ascontiguousarray(image.transpose(2, 1, 0))


def _no_variable(file: Path, names: list[str]) -> str:
    there = ", ".join(names) or "none"
    return f"MATLAB file {str(file)!r} has no variable {VARIABLE!r}; it has {there}: save the images as {VARIABLE}"


def _check_kind(file: Path, dtype: Any, shape: tuple[int, ...], first: np.ndarray | None) -> None:
    """Refuse another type or shape; with the range of the first image, where there is one."""
    if dtype == np.uint8 and len(shape) == 4 and shape[2] == 3 and 0 not in shape:
        return
    is_number = dtype != np.uint8 and first is not None and np.issubdtype(dtype, np.number)
    way_out = ""
    if is_number and first is not None:
        low, high = first.min(), first.max()
        scaled = "uint8(img)" if 1 < high <= 255 and low >= 0 else "im2uint8(img)" if 0 <= low <= high <= 1 else None
        way_out = f"; its first image has values from {low:g} to {high:g}: save it as " + (
            f"img = {scaled}" if scaled else "uint8, scaled to 0 to 255"
        )
    raise InputError(
        f"MATLAB file {str(file)!r}: {VARIABLE!r} is {dtype} of shape {tuple(shape)}, "
        f"expected uint8 or logical (row, column, 3, image){way_out}"
    )
