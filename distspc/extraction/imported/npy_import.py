"""Activations that somebody already has: the authors' layout of .npy files, taken over into the store."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distspc.errors import InputError
from distspc.extraction.imported.image_table import is_written, write_listed
from distspc.images.inventory import images_digest
from distspc.images.listing import ImageSource
from distspc.io.files import irregularity
from distspc.layers import LAYERS
from distspc.messages import counted
from distspc.store.activations import allocate_layers, images_of, missing_chunks, missing_layers, write_rows
from distspc.store.format.schema import StorePath
from distspc.store.store import Store
from distspc.tasks import task, task_key, tokenize

if TYPE_CHECKING:
    from dask.delayed import Delayed


logger = logging.getLogger(__name__)


def import_activations(store: StorePath, *, directory: str | os.PathLike[str], layers: Sequence[str]) -> list[Delayed]:
    """Build the tasks that take over activations in the authors' layout of .npy files.

    The files are ``<directory>/<layer>/Targets/<i>.npy`` and ``.../Fillers/<i>.npy`` (fillers are optional), i from
    1 without a gap, each of the shape of the layer with a 1 before it, or without. Writes the image table at once.

    Parameters
    ----------
    store
        Path of the store.
    directory
        The folder of the layers.
    layers
        Wanted layers.

    Returns
    -------
    list of Delayed
        One for each layer and chunk of images; empty if all is there. Each gives its number of images.

    Raises
    ------
    InputError
        If a folder or a number is missing, or a first file has the wrong shape or type.
    StoreMismatchError
        If the store holds other activations.
    """
    store = Store(store)
    wanted = missing(store, directory, layers)
    if not wanted:
        return []
    prepare(store, directory, layers)
    return tasks(store, directory, wanted)


def tasks(store: Store, directory: str | os.PathLike[str], layers: Sequence[str]) -> list[Delayed]:
    """Build the tasks of layers that are prepared."""
    built, directory, take = [], Path(os.path.abspath(directory)), task(_import)
    for layer in layers:
        key = partial(task_key, "import", layer, tokenize(str(store), str(directory), layer))
        chunks = missing_chunks(store, [layer])
        built += [take(store, str(directory), layer, i, dask_key_name=key(i)) for i in chunks]
    return built


def missing(store: Store, directory: str | os.PathLike[str], layers: Sequence[str]) -> list[str]:
    """Layers of which activations are missing, whole or in part; writes nothing.

    Raises
    ------
    InputError, StoreMismatchError
        As `import_activations`.
    """
    directory = Path(os.path.abspath(directory))
    images, recipe = store.images, {"images": _images_recipe(*count_activations(directory, layers))}
    recipes = {layer: _recipe(recipe["images"], *first_shape(directory, layer)) for layer in layers}
    if images.exists():
        images.refuse_other_recipe(recipe)
    if not is_written(store):
        return list(layers)
    return [layer for layer in layers if missing_layers(store, [layer], recipes[layer])]


def prepare(store: Store, directory: str | os.PathLike[str], layers: Sequence[str]) -> None:
    """Write the image table, and allocate the layers."""
    directory = Path(os.path.abspath(directory))
    _write_imported_table(store, directory, layers[0], *count_activations(directory, layers))
    for layer in layers:
        shape, dtype = first_shape(directory, layer)
        if layer in LAYERS and math.prod(shape) != math.prod(LAYERS[layer].shape):
            # Another network may well have a layer of this name; files that differ among themselves are refused later.
            file, known = _imported_file(directory, layer, "targets/1"), LAYERS[layer].shape
            logger.warning("%s has shape %s; VGG-16's %s has %s", file, shape, layer, known)
        allocate_layers(store, {layer: shape}, _recipe(images_digest(store), shape, dtype), dtype)


def _recipe(images: str, shape: Sequence[int], dtype: str) -> dict[str, Any]:
    return {"architecture": "imported", "images": images, "dtype": dtype, "shape": list(shape)}


def _images_recipe(n_targets: int, n_fillers: int) -> str:
    return f"imported:{n_targets}:{n_fillers}"


def count_activations(directory: str | os.PathLike[str], layers: Sequence[str]) -> tuple[int, int]:
    """Count the targets and fillers of a folder of activations.

    Raises
    ------
    InputError
        If a folder or a number is missing, or the layers differ.
    """
    directory = Path(os.path.abspath(directory))
    counts = {layer: count_files(directory, layer) for layer in layers}
    first = counts[layers[0]]
    for layer, count in counts.items():
        if count != first:
            raise InputError(
                f"activations {str(directory)!r}: {layer} has {counted(count[0], 'target')} and "
                f"{counted(count[1], 'filler')}, "
                f"{layers[0]} has {first[0]} and {first[1]}"
            )
    return first


def count_files(directory: Path, layer: str) -> tuple[int, int]:
    """Numbers of targets and fillers of a layer, checked to run from 1 without a gap.

    Raises
    ------
    InputError
        If there is no folder of targets, or a file is missing or called otherwise.
    """
    counts = []
    for folder in ("Targets", "Fillers"):
        path = directory / layer / folder
        if not path.is_dir():
            if folder == "Targets":
                raise InputError(f"activations: there is no folder {str(path)!r}")
            counts.append(0)
            continue
        names = [name.removesuffix(".npy") for name in os.listdir(path) if name.endswith(".npy")]
        names = [name for name in names if not name.startswith(".")]
        odd = [name for name in sorted(names) if not re.fullmatch("[1-9][0-9]{0,17}", name)]
        if odd:
            file = str(path / f"{odd[0]}.npy")
            raise InputError(
                f"activation {file!r} is not one of 1.npy, 2.npy, ..., which count from 1: rename or remove it"
            )
        numbers = {int(name) for name in names}
        missing = next((i for i in range(1, len(numbers) + 1) if i not in numbers), None)
        if missing is not None:
            raise InputError(
                f"activations {str(path)!r}: {missing}.npy is missing (of {counted(len(numbers), 'file')})"
            )
        if not numbers and folder == "Targets":
            raise InputError(f"activations {str(path)!r} holds no files 1.npy, 2.npy, ...")
        counts.append(len(numbers))
    return counts[0], counts[1]


def _write_imported_table(store: Store, directory: Path, layer: str, n_targets: int, n_fillers: int) -> None:
    numbered = [("target", i + 1) for i in range(n_targets)] + [("filler", i + 1) for i in range(n_fillers)]
    images = [
        ImageSource(image, role, number, _imported_file(directory, layer, image))
        for role, number in numbered
        for image in [f"{role}s/{number}"]
    ]
    write_listed(store, images, _images_recipe(n_targets, n_fillers))


def _imported_file(directory: Path, layer: str, image: str) -> str:
    role, number = image.split("/")
    return str(directory / layer / role.capitalize() / f"{number}.npy")


def first_shape(directory: Path, layer: str) -> tuple[tuple[int, ...], str]:
    """Shape of a layer for one image, and type, as the first target's file says.

    Raises
    ------
    InputError
        If that is no whole .npy file of numbers.
    """
    file = _imported_file(directory, layer, "targets/1")
    values = _load_npy(file)
    shape = values.shape[1:] if values.ndim > 1 and values.shape[0] == 1 else values.shape
    if layer in LAYERS and math.prod(shape) == math.prod(LAYERS[layer].shape):
        return LAYERS[layer].shape, values.dtype.name
    return shape, values.dtype.name


def _load_npy(file: str) -> np.ndarray:
    """Open an .npy file of floating-point numbers; pickled objects are never loaded."""
    try:
        if reason := irregularity(os.stat(file)):
            raise InputError(f"activation {file!r} {reason}")
        values = np.lib.format.open_memmap(file, mode="r")
    except InputError:
        raise
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise InputError(f"activation {file!r} is not a whole .npy file of numbers ({error})") from error
    if values.dtype not in (np.float16, np.float32):
        raise InputError(f"activation {file!r} holds {values.dtype}, expected float32 or float16")
    return values


def _import(store: Store, directory: str, layer: str, chunk: int) -> int:
    """Task: one chunk of images of a layer from .npy files."""
    group = store.layer(layer)
    images = images_of(store, layer, chunk)
    ids = store.images.read("image", image=images).tolist()
    attributes = group.attributes
    shape, dtype = tuple(attributes["shape"]), np.dtype(attributes["recipe"]["dtype"])
    values = np.empty((len(ids), int(np.prod(shape))), dtype)
    for row, image in zip(values, ids, strict=True):
        file = _imported_file(Path(directory), layer, image)
        found = _load_npy(file)
        if found.shape not in ((1, *shape), shape, (1, row.size), (row.size,)) or found.dtype != dtype:
            raise InputError(f"activation {file!r} is {found.dtype} {found.shape}, expected {dtype} {(1, *shape)}")
        row[:] = found.reshape(-1)
        if not np.isfinite(row).all():
            raise InputError(f"activation {file!r} holds NaN or infinity: make it again, or leave the image out")
    write_rows(store, layer, images, values)
    return len(ids)
