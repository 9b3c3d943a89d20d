"""A worker's side of the extraction: decode, forward pass, write."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from distspc.errors import InputError
from distspc.extraction.network import load_network, release_network
from distspc.extraction.network_spec import NetworkSpec
from distspc.images.decoding import network_input
from distspc.images.resizing import Resize
from distspc.store.activations import images_of
from distspc.store.format.chunks import IMAGES_PER_CHUNK
from distspc.store.store import Store
from distspc.tasks import SpareMemory, ranges

# ---------------------------------------------------------------- extract


def extract_chunk(
    store: Store, recipe: NetworkSpec, layers: Sequence[str], chunk: int, batch_size: int, dtype: str
) -> int:
    """Task: one chunk of images through the network, into the store."""
    images = images_of(store, layers[0], chunk)
    network = load_network(recipe, _n_threads())
    files = store.images.read("file", image=images).tolist()
    digests = store.images.read("digest", image=images).tolist()
    buffers = acquire_buffers(store, layers, dtype)
    run_network(network, files, digests, buffers, batch_size)
    for layer, buffer in buffers.items():
        write_layer(store, layer, images, buffer)
    spare_buffers.keep(buffers)
    return len(files)


def compute_rows(
    store: Store, recipe: NetworkSpec, layers: Sequence[str], images: np.ndarray, batch_size: int, dtype: str
) -> dict[str, ChunkBuffer]:
    """Pass some images, by their positions, through the network; nothing is written."""
    network = load_network(recipe, _n_threads())
    files, digests = (store.images.read(name, image=images).tolist() for name in ("file", "digest"))
    buffers = {}
    for layer in layers:
        n_blocks, _, width = _block_shape(store, layer)
        n_features = store.layer(layer).sizes["feature"]
        buffers[layer] = ChunkBuffer(np.empty((n_blocks, len(images), width), dtype), n_features)
    run_network(network, files, digests, buffers, batch_size)
    return buffers


@dataclass(frozen=True)
class ChunkBuffer:
    """Memory for a layer of a chunk of images: (chunk of features, image, feature), each as it goes into the store."""

    blocks: np.ndarray
    n_features: int

    def parts(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Every chunk of features and its (image, feature)."""
        for block, (start, stop) in zip(self.blocks, ranges(self.n_features, self.blocks.shape[2]), strict=True):
            yield slice(start, stop), block[:, : stop - start]


spare_buffers: SpareMemory[dict[str, ChunkBuffer]] = SpareMemory()
"""Buffers of the last task: 6 MB an image."""


def acquire_buffers(store: Store, layers: Sequence[str], dtype: str) -> dict[str, ChunkBuffer]:
    """Buffers of all layers, those of the last task where they fit."""
    spare = spare_buffers.take() or {}
    buffers = {}
    for layer in layers:
        shape, n_features = _block_shape(store, layer), store.layer(layer).sizes["feature"]
        buffer = spare.pop(layer, None)
        fits = buffer is not None and buffer.blocks.shape == shape and buffer.blocks.dtype == dtype
        buffers[layer] = ChunkBuffer(
            buffer.blocks if buffer is not None and fits else np.empty(shape, dtype), n_features
        )
    return buffers


def _block_shape(store: Store, layer: str) -> tuple[int, int, int]:
    """Chunks of features of a layer, images and features of a chunk."""
    group = store.layer(layer)
    size, n_features = group.chunks("activation"), group.sizes["feature"]
    return -(-n_features // size["feature"]), size["image"], size["feature"]


def run_network(
    network: Any, files: Sequence[str], digests: Sequence[str], buffers: Mapping[str, ChunkBuffer], batch_size: int
) -> None:
    """Put the activations of some files into the layers' buffers."""
    for images, outputs in _batches(network, files, digests, batch_size):
        for layer, buffer in buffers.items():
            _put(outputs[layer].reshape(images.stop - images.start, -1), buffer, images, layer)


def _batches(
    network: Any, files: Sequence[str], digests: Sequence[str], batch_size: int
) -> Iterator[tuple[slice, Mapping[str, np.ndarray]]]:
    """Activations of some files, batch by batch; files are decoded ahead of the device.

    Batches are of one size, the last filled up with its first image: rounding of a forward pass depends on the size of
    the batch (TensorFlow's dense layers give other last bits for one image), and not on which others are in it.
    """
    width = min(batch_size, IMAGES_PER_CHUNK)
    pool = ThreadPoolExecutor(_n_decoders(), thread_name_prefix="decode")
    try:
        decode = partial(_decode, size=network.input_size, resize=network.spec.resize)
        inputs = pool.map(decode, files, digests)  # a chunk of inputs is small: 64 of 150 kB
        for start, stop in ranges(len(files), width):
            batch = list(itertools.islice(inputs, stop - start))
            outputs = network.activations(np.stack(batch + batch[:1] * (width - len(batch))))
            yield slice(start, stop), {layer: values[: stop - start] for layer, values in outputs.items()}
    finally:
        pool.shutdown(cancel_futures=True)


def activations_of(
    spec: NetworkSpec, files: Sequence[str], digests: Sequence[str], *, batch_size: int, dtype: str
) -> dict[str, np.ndarray]:
    """Activations of some files, as an extraction would store them; an image's do not depend on the others.

    Parameters
    ----------
    spec
        The network, and its layers.
    files, digests
        The files, and what they are to hold.
    batch_size
        Images per forward pass.
    dtype
        Stored type.

    Returns
    -------
    dict
        By layer, float32 (files, features), of values that the stored type has.

    Raises
    ------
    InputError
        If a file cannot be used or has changed, or the network cannot be loaded.
    """
    network, found = load_network(spec, _n_threads()), dict[str, np.ndarray]()
    for images, outputs in _batches(network, files, digests, batch_size):
        for layer in spec.layers:
            values = outputs[layer].reshape(images.stop - images.start, -1)
            rows = found.setdefault(layer, np.empty((len(files), values.shape[1]), np.float32))
            with np.errstate(over="ignore"):  # named below
                rows[images] = values.astype(dtype)
            if dtype == "float16" and np.isinf(rows[images]).any():
                raise _beyond_float16(layer)
    return found


def _put(values: np.ndarray, buffer: ChunkBuffer, images: slice, layer: str) -> None:
    """Copy a batch (image, feature) into its buffer, in the stored type."""
    for features, part in buffer.parts():
        with np.errstate(over="ignore"):  # named below, by layer
            part[images] = values[:, features]
        if part.dtype == np.float16 and np.isinf(part[images]).any():
            raise _beyond_float16(layer)


def _beyond_float16(layer: str) -> InputError:
    return InputError(f"activations of {layer} exceed 65504, the largest number of float16: store them as float32")


def write_layer(store: Store, layer: str, images: slice, buffer: ChunkBuffer) -> None:
    """Write a layer of a chunk of images, one chunk of the store at a time, in one file."""
    n_images = images.stop - images.start
    parts = (({"image": images, "feature": features}, part[:n_images]) for features, part in buffer.parts())
    store.layer(layer).write_parts("activation", parts)


def release() -> None:
    """Give back what extraction keeps in this process between tasks: the network and the memory of a chunk."""
    spare_buffers.clear()
    release_network()


def _decode(file: str, digest: str, *, size: tuple[int, int], resize: Resize) -> np.ndarray:
    return network_input(file, size=size, resize=resize, digest=digest)


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
