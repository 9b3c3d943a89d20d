"""Synthetic stores and guards for tests, examples and benchmarks: no network, no image files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dask
import numpy as np

from distspc.extraction.moments import compute_moments, note_moments
from distspc.store.format.chunks import activation_chunks
from distspc.store.format.schema import StorePath
from distspc.store.store import Store
from distspc.tasks import ranges


def relu_activations(n_images: int, n_features: int, *, seed: int = 0) -> np.ndarray:
    """ReLU-like activations (n_images, n_features), float32: correlated, skewed, more than half of them zero."""
    rng = np.random.default_rng(seed)
    n_factors = min(32, n_features)
    mixing = rng.standard_normal((n_factors, n_features), dtype=np.float32)
    factors = rng.standard_normal((n_images, n_factors), dtype=np.float32)
    values = factors @ mixing + rng.standard_normal((n_images, n_features), dtype=np.float32) - 2
    return np.maximum(values, 0).astype(np.float32)


def one_direction_activations(n_images: int, n_features: int, *, seed: int = 0) -> np.ndarray:
    """Positive activations (n_images, n_features), float32, that vary along one direction but for a few percent.

    Early layers on photographs are like this: brightness and contrast drive all features together.
    """
    rng = np.random.default_rng(seed)
    strength = rng.gamma(0.5, size=(n_images, 1))
    direction = 1 + 0.3 * np.abs(rng.standard_normal(n_features))
    noise = 1 + 0.1 * rng.standard_normal((n_images, n_features))
    return np.maximum(strength * direction * noise, 0).astype(np.float32)


def image_ids(n_targets: int, n_fillers: int) -> list[str]:
    """Image ids in pool order: targets, then fillers, numbered from 1."""
    return [f"targets/{i + 1}" for i in range(n_targets)] + [f"fillers/{i + 1}" for i in range(n_fillers)]


def make_store(
    path: StorePath,
    *,
    n_targets: int,
    n_fillers: int,
    layers: Mapping[str, int],
    seed: int = 0,
    duplicates: Sequence[tuple[int, int]] = (),
    activations: Mapping[str, np.ndarray] | None = None,
    chunks: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
    """Write a store with an image table and activations, as the extraction stage leaves it.

    Parameters
    ----------
    layers
        Number of features by layer name.
    duplicates
        Pairs (a, b) of positions: image b gets the activation of image a at every layer.
    activations
        Arrays (n_images, n_features) to write instead of synthetic ones.
    chunks
        Chunk lengths by dimension (`image`, `feature`) instead of the default.

    Returns
    -------
    The activations by layer, float32.
    """
    ids = image_ids(n_targets, n_fillers)
    write_image_table(path, ids, n_targets)
    written = {}
    for i, (layer, n_features) in enumerate(layers.items()):
        values = (activations or {}).get(layer)
        if values is None:
            values = relu_activations(len(ids), n_features, seed=seed + i)
        for source, copy in duplicates:
            values[copy] = values[source]
        write_activations(path, layer, values, ids, chunks=chunks)
        written[layer] = values
    return written


def write_image_table(path: StorePath, ids: Sequence[str], n_targets: int) -> None:
    """Write group `images` for synthetic images."""
    n = len(ids)
    group = Store(path).images
    group.allocate(coords={"image": ids}, chunks={"image": n}, recipe={})
    columns: dict[str, Any] = {
        "role": ["target" if i < n_targets else "filler" for i in range(n)],
        "number": [int(image.split("/")[1]) for image in ids],
        "file": [f"{image}.jpg" for image in ids],
        "digest": [f"{i:064x}" for i in range(n)],
        "category": ["indoor" if i % 2 else "outdoor" for i in range(n)],
        **{name: np.full(n, 256) for name in ("width", "height", "nbytes", "modified")},
    }
    for name, values in columns.items():
        group.write(name, values)


def write_activations(
    path: StorePath,
    layer: str,
    values: np.ndarray,
    ids: Sequence[str],
    *,
    chunks: Mapping[str, int] | None = None,
) -> None:
    """Write a layer's activations chunk row by chunk row."""
    group, n_features = Store(path).layer(layer), values.shape[1]
    sizes = {**activation_chunks(len(ids), n_features), **(chunks or {})}
    recipe = {"model": "synthetic", "shape": [n_features]}
    group.allocate(
        coords={"image": ids, "feature": n_features},
        chunks=sizes,
        shards={"feature": n_features},
        recipe=recipe,
        dtypes={"activation": values.dtype.name},
        attrs={"shape": [n_features]},
    )
    for start, stop in ranges(len(ids), sizes["image"]):
        group.write("activation", values[start:stop], image=slice(start, stop))


def write_moments(path: StorePath, layer: str) -> None:
    """Compute and write the moments of a layer's features, as the extraction stage leaves them."""
    dask.compute(*compute_moments(path, layers=[layer]), scheduler="synchronous")
    note_moments(Store(path), layer)


def write_measures(
    path: StorePath,
    ids: Sequence[str],
    n_targets: int,
    layers: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    n_batches: int = 20,
    seed: int = 0,
) -> None:
    """Write random distances and reconstruction errors that are correlated over layers, as their stages leave them."""
    rng = np.random.default_rng(seed)
    common, n = rng.standard_normal(len(ids)), len(ids)
    coords: dict[str, Any] = {"layer": list(layers), "target": list(ids[:n_targets]), "image": list(ids)}
    distances, reconstruction = Store(path).distances, Store(path).reconstruction
    distances.allocate(coords=coords | {"neighbour": 1}, chunks={}, recipe={"protocol": "paper"})
    coords = {"layer": list(layers), "seed": list(seeds), "image": list(ids), "batch": n_batches}
    names = ("error", "training_error", "n_steps", "converged")
    reconstruction.allocate(coords=coords, chunks={}, recipe={"units": 9}, variables=names)
    for i in range(len(layers)):
        distance = np.exp(common + rng.standard_normal(n))[:n_targets, None]
        other = (np.arange(n_targets) + 1 + rng.integers(0, n - 1, n_targets)) % n
        distances.write("distance", distance[None], layer=slice(i, i + 1))
        distances.write("neighbour_index", other[None, :, None], layer=slice(i, i + 1))
        distances.write("norm", np.exp(rng.standard_normal(n))[None], layer=slice(i, i + 1))
        for j in range(len(seeds)):
            at = {"layer": slice(i, i + 1), "seed": slice(j, j + 1)}
            error = np.exp(common + rng.standard_normal(n) / 2) / 100
            training = 0.1 / np.arange(1, n_batches + 1) ** 0.5 * rng.uniform(0.9, 1.1, n_batches)
            reconstruction.write("error", error[None, None], **at)
            reconstruction.write("training_error", training[None, None], **at)
            steps = rng.integers(5, 999, n_batches)
            reconstruction.write("n_steps", steps[None, None], **at)
            reconstruction.write("converged", (steps < 998)[None, None], **at)


class ComputedTooEarlyError(AssertionError):
    """Something computed a Dask graph where only building one is allowed."""


@contextmanager
def no_compute() -> Iterator[None]:
    """Inside this block every Dask computation raises ComputedTooEarlyError."""

    def refuse(*_: Any, **__: Any) -> None:
        raise ComputedTooEarlyError("a stage computed while it was only to build its tasks")

    with dask.config.set(scheduler=refuse):
        yield
