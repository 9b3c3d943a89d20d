"""The extraction stage: one forward pass per image gives all asked layers, written as whole chunks of the store.

One task extracts one chunk of images: it decodes ahead in threads while the device runs, and its memory is that of
the chunk, however many images there are. `import_activations` takes activations that somebody already has.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed

from distspc import store as zarr_store
from distspc.activation_store import allocate_layers, images_of, missing_chunks, stored_shapes
from distspc.compute import task
from distspc.errors import InputError
from distspc.images import network_input
from distspc.imported import import_activations
from distspc.inventory import images_digest, scan_images, skipped_images, write_images
from distspc.network import Recipe, choose_network, layer_shapes, load_network, release_network
from distspc.notices import Notice, keep_notices
from distspc.store import StorePath
from distspc.tiles import ranges, task_key

__all__ = [
    "extract_activations",
    "import_activations",
    "release",
    "scan_images",
    "skipped_images",
    "unflatten",
    "write_images",
]

logger = logging.getLogger(__name__)

STORAGE_DTYPES = ("float32", "float16")


def extract_activations(
    store: StorePath,
    *,
    layers: Sequence[str],
    weights: str = "hybrid1365",
    digest: str | None = None,
    preprocessing: str = "auto",
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
    shapes = stored_shapes(store, layers, made_by) or layer_shapes(recipe)
    allocate_layers(store, shapes, made_by, dtype)
    _keep_doubts(store, recipe)
    missing = missing_chunks(store, layers)
    used = {layer for wanted in missing.values() for layer in wanted}
    recipe = replace(recipe, layers=tuple(layer for layer in layers if layer in used))
    token = tokenize(str(store), recipe, dtype)
    extract = task(_extract)
    return [
        extract(str(store), recipe, wanted, i, batch_size, dtype, dask_key_name=task_key("extract", "", token, i))
        for i, wanted in missing.items()
    ]


def _keep_doubts(store: StorePath, recipe: Recipe) -> None:
    """Say and keep where the network gets another input than it was made for."""
    doubts = [Notice(text, warning=True) for text in recipe.doubts()]
    for doubt in doubts:
        logger.warning("%s", doubt.text)
    for layer in recipe.layers:
        keep_notices(store, f"activations/{layer}", "preprocessing", doubts)


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


# ---------------------------------------------------------------- extract


def _extract(store: str, recipe: Recipe, layers: Sequence[str], chunk: int, batch_size: int, dtype: str) -> int:
    """Task: one chunk of images through the network, into the store."""
    images = images_of(store, layers[0], chunk)
    network = load_network(recipe, _n_threads())
    files = zarr_store.read(store, "images", "file", image=images).tolist()
    digests = zarr_store.read(store, "images", "digest", image=images).tolist()
    rooms = _take_rooms(store, layers, dtype)
    _run(network, files, digests, rooms, batch_size)
    for layer, room in rooms.items():
        _write_layer(store, layer, images, room)
    _spare.append(rooms)
    return len(files)


@dataclass(frozen=True)
class _Room:
    """Memory for a layer of a chunk of images: (chunk of features, image, feature), each as it goes into the store."""

    blocks: np.ndarray
    n_features: int

    def parts(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Every chunk of features and its (image, feature)."""
        for block, (start, stop) in zip(self.blocks, ranges(self.n_features, self.blocks.shape[2]), strict=True):
            yield slice(start, stop), block[:, : stop - start]


_spare: list[dict[str, _Room]] = []
"""Rooms of the last task, for the next one: new ones are memory that the system clears first, 6 MB an image."""


def _take_rooms(store: str, layers: Sequence[str], dtype: str) -> dict[str, _Room]:
    """Rooms of all layers, those of the last task where they fit."""
    spare = _spare.pop() if _spare else {}
    rooms = {}
    for layer in layers:
        group = f"activations/{layer}"
        size, n_features = zarr_store.chunks(store, group, "activation"), zarr_store.sizes(store, group)["feature"]
        shape = (-(-n_features // size["feature"]), size["image"], size["feature"])
        room = spare.pop(layer, None)
        fits = room is not None and room.blocks.shape == shape and room.blocks.dtype == dtype
        rooms[layer] = _Room(room.blocks if room is not None and fits else np.empty(shape, dtype), n_features)
    return rooms


def _run(
    network: Any, files: Sequence[str], digests: Sequence[str], rooms: Mapping[str, _Room], batch_size: int
) -> None:
    """Put the activations of some files into the layers' rooms; files are decoded ahead of the device."""
    pool = ThreadPoolExecutor(_n_decoders(), thread_name_prefix="decode")
    try:
        decode = partial(_decode, size=network.input_size)
        inputs = pool.map(decode, files, digests)  # a chunk of inputs is small: 64 of 150 kB
        for start, stop in ranges(len(files), batch_size):
            outputs = network.activations(np.stack(list(itertools.islice(inputs, stop - start))))
            for layer, room in rooms.items():
                _put(outputs[layer].reshape(stop - start, -1), room, slice(start, stop), layer)
    finally:
        pool.shutdown(cancel_futures=True)


def _put(values: np.ndarray, room: _Room, images: slice, layer: str) -> None:
    """Copy a batch (image, feature) into its room, in the stored type."""
    for features, part in room.parts():
        with np.errstate(over="ignore"):  # named below, by layer
            part[images] = values[:, features]
        if part.dtype == np.float16 and np.isinf(part[images]).any():
            raise InputError(
                f"activations of {layer} exceed 65504, the largest number of float16: store them as float32"
            )


def _write_layer(store: str, layer: str, images: slice, room: _Room) -> None:
    """Write a layer of a chunk of images, one chunk of the store at a time."""
    write = zarr_store.writer(store, f"activations/{layer}", "activation")
    for features, part in room.parts():
        write(part[: images.stop - images.start], image=images, feature=features)


def release() -> None:
    """Give back what extraction keeps in this process between tasks: the network and the memory of a chunk."""
    _spare.clear()
    release_network()


def _decode(file: str, digest: str, *, size: tuple[int, int]) -> np.ndarray:
    return network_input(file, size=size, digest=digest)


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
