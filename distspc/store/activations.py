"""Activations in the store: rooms for layers, what is missing, which images a chunk holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distspc.store import group as zarr_store
from distspc.store.chunks import activation_chunks
from distspc.store.schema import StorePath

_AXES = {3: ["row", "column", "channel"], 1: ["unit"]}


def stored_shapes(
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


def allocate_layers(
    store: StorePath, shapes: Mapping[str, tuple[int, ...]], made_by: Mapping[str, Any], dtype: str
) -> None:
    """Make room for layers, or check that what is there was made the same way."""
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


def missing_chunks(store: StorePath, layers: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Layers that are missing, whole or in part, by number of the chunk of images."""
    complete = {layer: _complete_chunks(store, layer) for layer in layers}
    n_chunks = len(complete[layers[0]])
    wanted = {i: tuple(layer for layer in layers if not complete[layer][i]) for i in range(n_chunks)}
    return {i: names for i, names in wanted.items() if names}


def _complete_chunks(store: StorePath, layer: str) -> np.ndarray:
    """For every chunk of images, whether all its chunks of features are there."""
    return np.asarray(zarr_store.done(store, f"activations/{layer}", "activation").all(axis=1))


def images_of(store: StorePath, layer: str, i: int) -> slice:
    """Positions of the images of a chunk."""
    group = f"activations/{layer}"
    size = zarr_store.chunks(store, group, "activation")["image"]
    return slice(i * size, min((i + 1) * size, zarr_store.sizes(store, group)["image"]))
