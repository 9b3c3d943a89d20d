"""The image sets of Isola et al. (2011) from their MATLAB files to folders of numbered image files.

Each file holds one variable ``img``, uint8, in MATLAB (row, column, channel, image). MATLAB 7.3 files (HDF5) are
streamed: memory is that of one storage chunk. Older files are read by SciPy as a whole: memory is that of the
variable, 0.47 GB for the 2,400 targets and 1.6 GB for the 8,042 fillers at 256 x 256.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from distspc.errors import InputError

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
        raise InputError(f"number of targets {n_targets} is not at least 1")
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
            raise InputError(f"MATLAB file {str(file)!r} holds {n_there} images, wanted are {n}")
        _refuse_others(folder, suffix, n)
        _make_folder(folder)
        for i, image in zip(range(1, n + 1), images, strict=False):
            stream = io.BytesIO()
            PIL.Image.fromarray(image).save(stream, **options)
            _write_whole(folder / f"{i}.{suffix}", stream.getvalue())
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


def _write_whole(file: Path, data: bytes) -> None:
    """Write beside, then rename: a file is there whole or not at all."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_bytes(data)
    partial.replace(file)


@contextmanager
def _open_images(file: Path) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
    """Number of images and the images, uint8 (row, column, 3), of a MATLAB file of either kind."""
    import h5py

    if not file.is_file():
        raise InputError(f"MATLAB file {str(file)!r}: there is no such file")
    if not h5py.is_hdf5(file):
        images = _load_v5(file)
        yield images.shape[3], (np.ascontiguousarray(images[..., i]) for i in range(images.shape[3]))
        return
    try:
        stream = h5py.File(file, "r")
    except OSError as error:
        raise InputError(f"MATLAB file {str(file)!r} is damaged ({error})") from error
    with stream:
        dataset = _find_v73(stream, file)
        yield dataset.shape[0], _stream_v73(dataset, file)


def _load_v5(file: Path) -> np.ndarray:
    import scipy.io

    try:
        content = scipy.io.loadmat(file, variable_names=[VARIABLE])
        names = [VARIABLE] if VARIABLE in content else [name for name, *_ in scipy.io.whosmat(file)]
    except Exception as error:  # damaged files raise nearly everything
        raise InputError(f"MATLAB file {str(file)!r} is damaged or no MATLAB file ({error})") from error
    if VARIABLE not in content:
        raise InputError(_no_variable(file, names))
    images = np.asarray(content[VARIABLE])
    images = images[..., np.newaxis] if images.ndim == 3 else images  # MATLAB drops a last length of 1
    _check_kind(file, images.dtype, images.shape)
    return images


def _find_v73(stream: Any, file: Path) -> Any:
    import h5py

    dataset = stream.get(VARIABLE)
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(_no_variable(file, [name for name in stream if not name.startswith("#")]))
    shape = dataset.shape[::-1] if dataset.ndim == 4 else dataset.shape
    _check_kind(file, dataset.dtype, shape)
    return dataset


def _stream_v73(dataset: Any, file: Path) -> Iterator[np.ndarray]:
    """Images in order; axes arrive reversed, (image, channel, column, row). Reads whole storage chunks."""
    n_images, per_image = dataset.shape[0], int(np.prod(dataset.shape[1:]))
    step = (dataset.chunks or (1,))[0]
    step = max(1, min(step, MAX_READ_NBYTES // per_image))
    for start in range(0, n_images, step):
        try:
            part = dataset[start : start + step]
        except (OSError, RuntimeError) as error:
            raise InputError(f"MATLAB file {str(file)!r} is damaged from image {start + 1} on ({error})") from error
        for image in part:
            yield np.ascontiguousarray(image.transpose(2, 1, 0))


def _no_variable(file: Path, names: list[str]) -> str:
    return f"MATLAB file {str(file)!r} has no variable {VARIABLE!r}; it has {', '.join(names) or 'none'}"


def _check_kind(file: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    if dtype != np.uint8 or len(shape) != 4 or shape[2] != 3 or 0 in shape:
        raise InputError(
            f"MATLAB file {str(file)!r}: {VARIABLE!r} is {dtype} of shape {tuple(shape)}, "
            "wanted is uint8 (row, column, 3, image)"
        )
