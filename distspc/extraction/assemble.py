"""A worker's side of an extraction where other stores have some of the images: rows are taken, others computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from distspc.extraction.forward import ChunkBuffer, acquire_buffers, compute_rows, spare_buffers, write_layer
from distspc.extraction.network_spec import NetworkSpec
from distspc.store.activations import images_of
from distspc.store.rows import Origin, link_rows, read_rows, sources_of
from distspc.store.store import Store


@dataclass(frozen=True)
class ChunkOrigin:
    """A chunk of images of which other stores have some.

    Attributes
    ----------
    chunk : int
        Its number.
    layers : mapping of str to Origin
        By layer, where the rows of its images are.
    """

    chunk: int
    layers: Mapping[str, Origin]

    @property
    def is_new(self) -> np.ndarray:
        """Bool (image,): whether an image must pass through the network, as no store has all its layers."""
        return np.asarray(~np.logical_and.reduce([origin.known for origin in self.layers.values()]))


class Lost(NamedTuple):
    """Images whose rows could not be read in another store, and were computed."""

    store: str
    layer: str
    n_images: int


class _Compute(Protocol):
    def __call__(self, *, layers: Sequence[str], images: np.ndarray) -> dict[str, ChunkBuffer]: ...


def assemble_chunks(
    store: Store, recipe: NetworkSpec, chunks: Sequence[ChunkOrigin], batch_size: int, dtype: str
) -> list[Lost]:
    """Task: chunks of images, whose new ones pass through the network together; rows of the others are taken."""
    layers = list(chunks[0].layers)
    compute = partial(compute_rows, store, recipe, batch_size=batch_size, dtype=dtype)
    new = np.concatenate([images_of(store, layers[0], one.chunk).start + np.flatnonzero(one.is_new) for one in chunks])
    computed = compute(layers=layers, images=new) if new.size else {}
    buffers, lost, start = acquire_buffers(store, layers, dtype), list[Lost](), 0
    for one in chunks:
        stop = start + int(one.is_new.sum())
        for layer in layers:
            of_layer = _Layer(store, layer, one, buffers[layer])
            if stop > start:
                of_layer.put(one.is_new, computed[layer], slice(start, stop))
            lost += of_layer.take(compute)
            of_layer.write()
        start = stop
    spare_buffers.keep(buffers)
    return lost


class _Layer:
    """One layer of a chunk of images on its way into the store."""

    def __init__(self, store: Store, layer: str, chunk: ChunkOrigin, buffer: ChunkBuffer) -> None:
        self.store, self.layer, self.chunk, self.buffer = store, layer, chunk.chunk, buffer
        self.group, self.images = store.layer(layer), images_of(store, layer, chunk.chunk)
        self.origin, self.taken = chunk.layers[layer], ~chunk.is_new

    def put(self, images: np.ndarray, computed: ChunkBuffer, rows: slice) -> None:
        """Put rows that were computed into the places of some images."""
        for (_, part), (_, values) in zip(self.buffer.parts(), computed.parts(), strict=True):
            part[: self._n_images][images] = values[rows]

    @property
    def _n_images(self) -> int:
        return self.images.stop - self.images.start

    def take(self, compute: _Compute) -> Iterator[Lost]:
        """Take the rows of the others; those that cannot be read are computed, and named."""
        digests = self.store.images.read("digest", image=self.images).tolist()
        parts = [(features, part[: self._n_images]) for features, part in self.buffer.parts()]
        for donor, images in read_rows(self.origin.only(self.taken), digests, parts):
            self.taken[images] = False
            found = compute(layers=[self.layer], images=self.images.start + images)
            self.put(images, found[self.layer], slice(None))
            yield Lost(donor.name, self.layer, len(images))

    def write(self) -> None:
        """Write where rows are from, then the rows: these say that all is done."""
        if self.group.has("source"):
            self.group.write("source", sources_of(self.group, self.origin, self.taken), image=self.images)
        if not (self.taken.all() and link_rows(self.group, self.chunk, self.origin)):
            write_layer(self.store, self.layer, self.images, self.buffer)
