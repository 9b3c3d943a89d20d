"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest

from distspc.distances import build
from distspc.distances.build import layer_tasks, nearest_distances
from distspc.distances.checks import check_distances
from distspc.distances.options import LayerOptions, TileLimits
from distspc.distances.planning.plan import DistancePlan, LayerSize
from distspc.schedule import Workers
from distspc.store.scaling import Scaling
from distspc.store.store import Store

N_TARGETS, N_IMAGES = 30, 90


CHUNKS = {"image": 16, "feature": 512}


DUPLICATES = ((0, 5), (3, 60), (40, 70), (7, 61), (7, 62))


def brute_force(
    x: np.ndarray,
    n_targets: int,
    *,
    protocol: str = "paper",
    metric: str = "euclidean",
    n_neighbours: int = 1,
    category: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances and positions of the nearest, mean distance to the pool; float64 over x - y, one target at a time."""
    rows = x.astype(np.float64)
    if metric == "correlation":
        rows = rows - rows.mean(axis=1, keepdims=True)
    if metric != "euclidean":
        rows = rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))
    found = []
    for i in range(n_targets):
        square = ((rows[i] - rows) ** 2).sum(axis=1)
        distance = np.sqrt(square) if metric == "euclidean" else square / 2
        distance[i] = np.inf
        if protocol == "spc-public":
            distance[:n_targets] = np.inf
        if protocol != "paper":
            distance[distance == 0] = np.inf
        if category is not None:
            distance[category != category[i]] = np.inf
        nearest = np.argsort(distance, kind="stable")[:n_neighbours]
        found.append((distance[nearest], nearest, distance[np.isfinite(distance)].mean()))
    parts = [np.array(part) for part in zip(*found, strict=True)]
    return parts[0], parts[1], parts[2]


def run(path: Path, *, limits: TileLimits | None = None, **options: Any) -> dict[str, np.ndarray]:
    """Compute layer fc2 afresh, cut as some limits say, and return its row of every variable."""
    Store(path).distances.remove()
    if limits is None:
        tasks = nearest_distances(path, layer="fc2", **options)
    else:
        tasks = limited_tasks(path, limits, **options)
    dask.compute(*tasks, scheduler="synchronous")
    tiled = any("distances-product" in str(key) for key in tasks[-1].dask)
    return stored(path) | {"whole_rows": np.array(not tiled)}


def run_plan(path: Path, plan: DistancePlan, *, memory_nbytes: int = 2**30, **options: Any) -> dict[str, np.ndarray]:
    """Compute layer fc2 afresh, cut as a plan says, and return its row of every variable."""
    Store(path).distances.remove()
    settings = LayerOptions(**options, store=Store(path), layer="fc2")
    build.prepare(settings, plan)
    dask.compute(*build.tasks(settings, plan, memory_nbytes=memory_nbytes), scheduler="synchronous")
    return stored(path)


def layer_size(path: Path, **options: Any) -> LayerSize:
    """Size of the distances of layer fc2."""
    return check_distances(LayerOptions(**options, store=Store(path), layer="fc2"))


def limited_tasks(
    path: Path,
    limits: TileLimits,
    *,
    protocol: str = "paper",
    metric: str = "euclidean",
    n_neighbours: int = 1,
    category: str | None = None,
    scaling: Scaling = "none",
    n_threads: int | None = None,
    n_workers: int = 1,
    memory_nbytes: int | None = None,
) -> list[Any]:
    place: dict[str, Any] = {"store": Store(path), "layer": "fc2", "n_threads": n_threads, "limits": limits}
    workers = Workers(n_workers, n_threads or 1, memory_nbytes)
    return layer_tasks(LayerOptions(protocol, metric, n_neighbours, category, scaling, **place), workers)


def stored(path: Path, layer: str = "fc2") -> dict[str, np.ndarray]:
    names = ("distance", "neighbour_index", "mean_distance", "pool_distance", "norm", "duplicate_of")
    row = Store(path).distances.position("layer", layer)
    counts = {name: Store(path).distances.read(name)[row] for name in ("n_rescored", "bytes_read")}
    return {name: Store(path).distances.read(name, layer=row) for name in names} | counts


WHOLE_ROWS, FEATURE_TILES = TileLimits(feature_tiles=False), TileLimits(feature_tiles=True)


CUTS = pytest.mark.parametrize("limits", [WHOLE_ROWS, FEATURE_TILES], ids=["whole rows", "feature tiles"])


def difficult(kind: str, n: int, n_features: int) -> np.ndarray:
    rng = np.random.default_rng(8)
    noise = rng.standard_normal((n, n_features))
    values = {
        "near-duplicates with large norms": 1e4 * np.repeat(noise[: n // 5], 5, axis=0) + 1e-2 * noise,
        "far from the origin": 1e5 + noise,
        "two far clusters": rng.choice([-1e5, 1e5], (n, 1)) + noise,
        "constant features": np.where(np.arange(n_features) % 3, 7.0, noise),
        "small numbers": 1e-30 * noise,
        "large numbers": 1e37 * noise,
        "all sizes": 10.0 ** rng.integers(-18, 18, (n, 1)) * noise,
        "many ties": rng.integers(0, 2, (n, n_features)) * (rng.random((n, n_features)) < 0.01),
        "many duplicates": np.repeat(noise[: n // 10], 10, axis=0),
        "one image far off": noise * np.where(np.arange(n) == 2, 1e30, 1)[:, None],
    }[kind]
    return np.ascontiguousarray(values, dtype=np.float32)
