"""The extraction stage: one forward pass per image gives all asked layers, written as whole chunks of the store.

One task extracts one chunk of images: it decodes ahead in threads while the device runs, and its memory is that of
the chunk, however many images there are. `import_activations` takes activations that somebody already has.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed

from distspc import store as zarr_store
from distspc.errors import InputError
from distspc.images import network_input
from distspc.inventory import images_digest, scan_images, skipped_images, write_images
from distspc.layers import LAYERS
from distspc.network import Recipe, choose_network, layer_shapes, load_network
from distspc.store import StorePath
from distspc.tiles import activation_chunks, ranges, task_key

__all__ = [
    "extract_activations",
    "import_activations",
    "scan_images",
    "skipped_images",
    "unflatten",
    "write_images",
]

logger = logging.getLogger(__name__)

STORAGE_DTYPES = ("float32", "float16")
_AXES = {3: ["row", "column", "channel"], 1: ["unit"]}


def extract_activations(
    store: StorePath,
    *,
    layers: Sequence[str],
    weights: str = "hybrid1365",
    digest: str | None = None,
    preprocessing: str = "raw",
    batch_size: int = 16,
    precision: str = "float32",
    dtype: str = "float32",
    seed: int = 0,
) -> list[Delayed]:
    """Build the tasks that extract the activations that are missing.

    Parameters
    ----------
    store
        Path of a store with an image table.
    layers
        Wanted layers.
    weights, digest, preprocessing, precision, seed
        The network (see `distspc.network.choose_network`).
    batch_size
        Images per forward pass; changes no value by more than rounding.
    dtype
        Stored type, ``float32`` or ``float16``.

    Returns
    -------
    list of Delayed
        One for each chunk of images; empty if all is there. Each gives its number of images.

    Raises
    ------
    StoreMismatchError
        If the store holds these layers from other images, weights or settings.
    InputError
        If a setting, a layer or the weights cannot be used.
    """
    if dtype not in STORAGE_DTYPES:
        raise InputError(f"storage type {dtype!r} is not one of {', '.join(STORAGE_DTYPES)}")
    if batch_size < 1:
        raise InputError(f"batch size {batch_size} is not at least 1")
    recipe = choose_network(
        weights, layers=layers, digest=digest, preprocessing=preprocessing, precision=precision, seed=seed
    )
    made_by = {**recipe.described(), "dtype": dtype, "images": images_digest(store)}
    shapes = _stored_shapes(store, layers, made_by) or layer_shapes(recipe)
    _allocate(store, shapes, made_by, dtype)
    missing = _missing_chunks(store, layers)
    used = {layer for wanted in missing.values() for layer in wanted}
    recipe = replace(recipe, layers=tuple(layer for layer in layers if layer in used))
    token = tokenize(str(store), recipe, dtype)
    extract = dask.delayed(_extract, pure=False)
    return [
        extract(str(store), recipe, wanted, i, batch_size, dtype, dask_key_name=task_key("extract", "", token, i))
        for i, wanted in missing.items()
    ]


def unflatten(activation: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Give stored activations back their layer's shape.

    Parameters
    ----------
    activation
        (..., feature).
    shape
        Shape of the layer, (row, column, channel): attribute ``shape`` of group ``activations/<layer>``.

    Returns
    -------
    np.ndarray
        (..., *shape), a view where possible.

    Raises
    ------
    ValueError
        If the sizes do not match.

    Examples
    --------
    >>> unflatten(np.zeros((5, 25088)), (7, 7, 512)).shape
    (5, 7, 7, 512)
    """
    return np.reshape(activation, (*np.shape(activation)[:-1], *shape))


# ---------------------------------------------------------------- plan


def _stored_shapes(
    store: StorePath, layers: Sequence[str], made_by: Mapping[str, Any]
) -> dict[str, tuple[int, ...]] | None:
    """Shapes of layers that the store has, made the same way: a finished study need not load the network."""
    shapes = {}
    for layer in layers:
        group = f"activations/{layer}"
        if not zarr_store.exists(store, group):
            return None
        attrs = zarr_store.attributes(store, group)
        if attrs.get("recipe") != made_by or "shape" not in attrs:
            return None
        shapes[layer] = tuple(attrs["shape"])
    return shapes


def _allocate(store: StorePath, shapes: Mapping[str, tuple[int, ...]], made_by: Mapping[str, Any], dtype: str) -> None:
    ids = zarr_store.labels(store, "images", "image")
    for layer, shape in shapes.items():
        n_features = int(np.prod(shape))
        zarr_store.allocate(
            store,
            f"activations/{layer}",
            coords={"image": ids, "feature": n_features},
            chunks=activation_chunks(len(ids), n_features),
            recipe=made_by,
            dtypes={"activation": dtype},
            attrs={"shape": list(shape), "axes": _AXES.get(len(shape), [f"axis_{i}" for i in range(len(shape))])},
        )


def _missing_chunks(store: StorePath, layers: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Layers that are missing, whole or in part, by number of the chunk of images."""
    complete = {layer: _complete_chunks(store, layer) for layer in layers}
    n_chunks = len(complete[layers[0]])
    wanted = {i: tuple(layer for layer in layers if not complete[layer][i]) for i in range(n_chunks)}
    return {i: names for i, names in wanted.items() if names}


def _complete_chunks(store: StorePath, layer: str) -> np.ndarray:
    """For every chunk of images, whether all its chunks of features are there."""
    return np.asarray(zarr_store.done(store, f"activations/{layer}", "activation").all(axis=1))


def _chunk(store: StorePath, layer: str, i: int) -> slice:
    """Positions of the images of a chunk."""
    group = f"activations/{layer}"
    size = zarr_store.chunks(store, group, "activation")["image"]
    return slice(i * size, min((i + 1) * size, zarr_store.sizes(store, group)["image"]))


# ---------------------------------------------------------------- extract


def _extract(store: str, recipe: Recipe, layers: Sequence[str], chunk: int, batch_size: int, dtype: str) -> int:
    """Task: one chunk of images through the network, into the store."""
    images = _chunk(store, layers[0], chunk)
    network = load_network(recipe, _n_threads())
    files = zarr_store.read(store, "images", "file", image=images).tolist()
    digests = zarr_store.read(store, "images", "digest", image=images).tolist()
    values = _run(network, files, digests, layers, batch_size, np.dtype(dtype))
    for layer in layers:
        _check_storable(values[layer], layer)
        zarr_store.write(store, f"activations/{layer}", "activation", values.pop(layer), image=images)
    return len(files)


def _run(
    network: Any,
    files: Sequence[str],
    digests: Sequence[str],
    layers: Sequence[str],
    batch_size: int,
    dtype: np.dtype,
) -> dict[str, np.ndarray]:
    """Activations of some files by layer, (image, feature); files are decoded ahead of the device."""
    values: dict[str, np.ndarray] = {}
    pool = ThreadPoolExecutor(_n_decoders(), thread_name_prefix="decode")
    try:
        decode = partial(_decode, size=network.input_size)
        inputs = pool.map(decode, files, digests)  # a chunk of inputs is small: 64 of 150 kB
        for start, stop in ranges(len(files), batch_size):
            batch = np.stack(list(itertools.islice(inputs, stop - start)))
            outputs = network.activations(batch)
            for layer in layers:
                flat = outputs[layer].reshape(stop - start, -1)
                if layer not in values:
                    values[layer] = np.empty((len(files), flat.shape[1]), dtype)
                with np.errstate(over="ignore"):  # named below, by layer
                    values[layer][start:stop] = flat
    finally:
        pool.shutdown(cancel_futures=True)
    return values


def _decode(file: str, digest: str, *, size: tuple[int, int]) -> np.ndarray:
    return network_input(file, size=size, digest=digest)


def _check_storable(values: np.ndarray, layer: str) -> None:
    if values.dtype == np.float16 and np.isinf(values).any():
        raise InputError(f"activations of {layer} exceed 65504, the largest number of float16: store them as float32")


def _n_threads() -> int:
    """Threads of the device: those set for the worker on purpose, else its own, else the cores of this process."""
    for name in ("DISTSPC_THREADS", "TF_NUM_INTRAOP_THREADS"):
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    from distributed import get_worker

    try:
        return int(get_worker().state.nthreads)
    except ValueError:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _n_decoders() -> int:
    return min(8, max(2, _n_threads()))


# ---------------------------------------------------------------- import


def import_activations(store: StorePath, *, directory: str | os.PathLike[str], layers: Sequence[str]) -> list[Delayed]:
    """Build the tasks that take over activations in the authors' layout of .npy files.

    The files are ``<directory>/<layer>/Targets/<i>.npy`` and ``.../Fillers/<i>.npy`` (fillers are optional), i from
    1 without a gap, each (1, *shape of the layer) or of the shape itself. Writes the image table at once.

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
    directory = Path(os.path.abspath(directory))
    counts = {layer: _count_files(directory, layer) for layer in layers}
    first = counts[layers[0]]
    for layer, count in counts.items():
        if count != first:
            raise InputError(
                f"activations {str(directory)!r}: {layer} has {count[0]} targets and {count[1]} fillers, "
                f"{layers[0]} has {first[0]} and {first[1]}"
            )
    _write_imported_table(store, directory, layers[0], *first)
    tasks = []
    for layer in layers:
        shape, dtype = _first_shape(directory, layer)
        made_by = {"architecture": "imported", "images": images_digest(store), "dtype": dtype, "shape": list(shape)}
        _allocate(store, {layer: shape}, made_by, dtype)
        token = tokenize(str(store), str(directory), layer)
        take = dask.delayed(_import, pure=False)
        key = partial(task_key, "import", layer, token)
        missing = _missing_chunks(store, [layer])
        tasks += [take(str(store), str(directory), layer, i, dask_key_name=key(i)) for i in missing]
    return tasks


def _count_files(directory: Path, layer: str) -> tuple[int, int]:
    """Numbers of targets and fillers of a layer, checked to run from 1 without a gap."""
    counts = []
    for folder in ("Targets", "Fillers"):
        path = directory / layer / folder
        if not path.is_dir():
            if folder == "Targets":
                raise InputError(f"activations: there is no folder {str(path)!r}")
            counts.append(0)
            continue
        names = [name.removesuffix(".npy") for name in os.listdir(path) if name.endswith(".npy")]
        numbers = {int(name) for name in names if re.fullmatch("[1-9][0-9]{0,17}", name)}
        missing = next((i for i in range(1, len(numbers) + 1) if i not in numbers), None)
        if missing is not None:
            raise InputError(f"activations {str(path)!r}: {missing}.npy is missing (there are {len(numbers)} files)")
        if not numbers and folder == "Targets":
            raise InputError(f"activations {str(path)!r} holds no files 1.npy, 2.npy, ...")
        counts.append(len(numbers))
    return counts[0], counts[1]


def _write_imported_table(store: StorePath, directory: Path, layer: str, n_targets: int, n_fillers: int) -> None:
    roles = ["target"] * n_targets + ["filler"] * n_fillers
    numbers = [*range(1, n_targets + 1), *range(1, n_fillers + 1)]
    ids = [f"{role}s/{number}" for role, number in zip(roles, numbers, strict=True)]
    chunks = {"image": min(8192, len(ids))}
    recipe = {"images": f"imported:{n_targets}:{n_fillers}"}
    zarr_store.allocate(store, "images", coords={"image": ids}, chunks=chunks, recipe=recipe)
    columns: dict[str, Any] = {
        "role": roles,
        "number": numbers,
        "file": [_imported_file(directory, layer, image) for image in ids],
        **{name: [""] * len(ids) for name in ("digest", "category")},
        **{name: np.full(len(ids), -1) for name in ("width", "height", "nbytes", "modified")},
    }
    for name, values in columns.items():
        if not zarr_store.done(store, "images", name).all():
            zarr_store.write(store, "images", name, values)


def _imported_file(directory: Path, layer: str, image: str) -> str:
    role, number = image.split("/")
    return str(directory / layer / role.capitalize() / f"{number}.npy")


def _first_shape(directory: Path, layer: str) -> tuple[tuple[int, ...], str]:
    """Shape of a layer for one image, and type, as the first target's file says."""
    file = _imported_file(directory, layer, "targets/1")
    values = _load_npy(file)
    shape = values.shape[1:] if values.ndim > 1 and values.shape[0] == 1 else values.shape
    known = LAYERS[layer].shape if layer in LAYERS else shape
    if math.prod(shape) == math.prod(known):
        return known, values.dtype.name
    # Another network may well have a layer of this name; files that differ among themselves are refused later.
    logger.warning("%s has shape %s; VGG-16's %s has %s", file, shape, layer, known)
    return shape, values.dtype.name


def _load_npy(file: str) -> np.ndarray:
    """Open an .npy file of floating-point numbers; pickled objects are never loaded."""
    try:
        values = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise InputError(f"activation {file!r} is not a whole .npy file of numbers ({error})") from error
    if not isinstance(values, np.ndarray) or values.dtype not in (np.float16, np.float32):
        kind = getattr(values, "dtype", type(values).__name__)
        raise InputError(f"activation {file!r} holds {kind}, wanted is float32 or float16")
    return values


def _import(store: str, directory: str, layer: str, chunk: int) -> int:
    """Task: one chunk of images of a layer from .npy files."""
    group = f"activations/{layer}"
    images = _chunk(store, layer, chunk)
    ids = zarr_store.read(store, "images", "image", image=images).tolist()
    shape = tuple(zarr_store.attributes(store, group)["shape"])
    dtype = np.dtype(zarr_store.attributes(store, group)["recipe"]["dtype"])
    values = np.empty((len(ids), int(np.prod(shape))), dtype)
    for row, image in zip(values, ids, strict=True):
        file = _imported_file(Path(directory), layer, image)
        found = _load_npy(file)
        if found.shape not in ((1, *shape), shape, (1, row.size), (row.size,)) or found.dtype != dtype:
            raise InputError(f"activation {file!r} is {found.dtype} {found.shape}, wanted is {dtype} {(1, *shape)}")
        row[:] = found.reshape(-1)
    zarr_store.write(store, group, "activation", values, image=images)
    return len(ids)
