"""Distinctiveness: the nearest neighbours of every target in the space of one layer, exact, tiled over Dask.

One layer is cut into tasks (`distspc.distance_plan` has the formulas for their number and bytes), each of which
reads its part of the activations once; a last task puts their small results together and writes the layer's row of
group `distances`. Distances are those of float64 brute force over x - y; `distspc.kernels.distance` proves why.

The number of tasks for N images, T targets and K features is ceil(N / 16,384) where the targets' rows fit in a worker's
memory, and ceil(K / 25,088) ceil(N / R) and as many again to add up otherwise, R images a task; the bytes read
are 4 K N + 4 K T (R' - 1) for R' ranges of images. A pool of 1,000,000 images is, at layer fc2, 62 tasks and 19 GB to
read; at block1_pool, in 4 GiB a task, 4,000 tasks and 3.6 TB (the activations alone are 3.2 TB).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from dask.base import tokenize

from distspc import store as zarr_store
from distspc.compute import task
from distspc.distance_features import add_partials, multiply_features, rescore, search_products
from distspc.distance_plan import DEFAULT_NBYTES, SPLIT, DistancePlan, Problem, plan_distances
from distspc.distance_search import search_rows
from distspc.distance_tasks import Settings, TileResult, release
from distspc.errors import InputError
from distspc.kernels.candidates import Nearest, Pairs, add_to_pool, as_distance, unsettled
from distspc.kernels.distance import METRICS, Metric
from distspc.store import StorePath
from distspc.tiles import gib, task_key

if TYPE_CHECKING:
    from dask.delayed import Delayed

logger = logging.getLogger(__name__)

Protocol = Literal["paper", "spc-public", "distinct"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)

TOLERANCE = 1e-9
"""Relative uncertainty of a squared distance up to which a float64 estimate stands for the distance."""


def nearest_distances(
    store: StorePath,
    *,
    layer: str,
    protocol: Protocol = "paper",
    metric: Metric = "euclidean",
    n_neighbours: int = 1,
    category: str | None = None,
    memory_nbytes: int | None = None,
    n_workers: int = 1,
    n_threads: int | None = None,
) -> list[Delayed]:
    """Build the tasks that find the nearest neighbours of every target at one layer; [] if they are stored already.

    Writes, in group ``distances``: ``distance`` and ``neighbour_index`` (of the k nearest, nearest first, ties to the
    first in pool order; NaN and -1 where dropped duplicates leave fewer), ``mean_distance`` (to the k nearest),
    ``pool_distance`` (mean to the whole pool; from the products themselves, relative error about 1e-6), ``norm``,
    ``duplicate_of`` (first image with the same activation, -1 if there is none), ``n_rescored``, ``bytes_read``.

    Parameters
    ----------
    store
        Path of the store; it holds the activations of the layer.
    layer
        Name of the layer.
    protocol
        ``paper``: pool of targets and fillers, the target itself excluded, exact duplicates count with distance 0;
        ``spc-public``: fillers only, distances of 0 dropped; ``distinct``: targets and fillers, 0 dropped.
    metric
        ``euclidean``, ``cosine`` (1 - cosine) or ``correlation`` (1 - Pearson r over features).
    n_neighbours
        How many neighbours.
    category
        Column of the image table: only images of the target's own category count.
    memory_nbytes
        Bytes that one task may hold; 4 GiB by default.
    n_workers
        Tasks that can run at the same time: splits the pool so that all have work.
    n_threads
        Threads of a task; by default those that BLAS was given (``OMP_NUM_THREADS`` and its like).

    Returns
    -------
    list of Delayed
        The last writes the layer's results.

    Raises
    ------
    InputError
        If a setting is unknown, the pool has fewer images than neighbours, activations are missing, or a task does not
        fit in the memory. Computing the tasks raises it for activations that are not finite or have no variance.
    """
    for name, value in (("n_workers", n_workers), ("n_threads", 1 if n_threads is None else n_threads)):
        _check_positive(name, value)
    settings = Settings(str(store), layer, metric, n_neighbours, protocol != "paper", category, n_threads)
    table, pool = check_distances(settings, protocol)
    problem = Problem(layer, table.n_targets, pool, table.n_features, table.chunk_rows, table.chunk_features)
    plan = plan_distances(problem, memory_nbytes=memory_nbytes, n_workers=n_workers)
    recipe = {"protocol": protocol, "metric": metric, "n_neighbours": int(n_neighbours), "category": category}
    if _stored(settings, table, recipe):
        return []
    token = tokenize(settings, recipe, plan, zarr_store.attributes(store, f"activations/{layer}").get("recipe"))[:8]
    tiles = _tile_tasks(settings, plan, problem.n_features, token)
    logger.info(
        "%s: %d tasks of at most %s, %s to read", layer, plan.n_tasks, gib(plan.task_nbytes), gib(plan.read_nbytes)
    )
    finish = task(finish_layer)(
        settings,
        tiles,
        table,
        memory_nbytes or DEFAULT_NBYTES,
        dask_key_name=task_key("distances-finish", layer, token),
    )
    return [*tiles, finish]


def check_distances(settings: Settings, protocol: str) -> tuple[_Table, tuple[int, int]]:
    """Sizes of a layer and the range of its pool, for settings that can be used on it; see `nearest_distances`.

    Raises
    ------
    InputError
        If a setting is unknown, the pool has fewer images than neighbours, or activations are missing.
    """
    _check_settings(protocol, settings.metric, settings.n_neighbours)
    table = _Table.of(settings.store, settings.layer)
    pool = (table.n_targets if protocol == "spc-public" else 0, table.n_images)
    _check_pool(settings, table, pool, protocol)
    return table, pool


@dataclass(frozen=True)
class _Table:
    """Sizes of the image table and of one layer's activations."""

    n_targets: int
    n_images: int
    n_features: int
    chunk_rows: int
    chunk_features: int

    @classmethod
    def of(cls, store: StorePath, layer: str) -> _Table:
        group = f"activations/{layer}"
        sizes, chunks = zarr_store.sizes(store, group), zarr_store.chunks(store, group, "activation")
        role = zarr_store.read(store, "images", "role")
        if len(role) != sizes["image"]:
            raise InputError(
                f"{layer}: activations of {sizes['image']} images, {len(role)} in the image table; "
                "extract this layer again"
            )
        missing = int((~zarr_store.done(store, group, "activation")).sum())
        if missing:
            raise InputError(f"{layer}: {missing} chunks of activations are missing; run the stage extract first")
        n_targets = int((role == "target").sum())
        return cls(n_targets, sizes["image"], sizes["feature"], chunks["image"], chunks["feature"])


def _check_settings(protocol: str, metric: str, n_neighbours: int) -> None:
    for name, value, allowed in (("protocol", protocol, PROTOCOLS), ("metric", metric, METRICS)):
        if value not in allowed:
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
    _check_positive("n_neighbours", n_neighbours)


def _check_positive(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise InputError(f"{name} is {value!r}; it must be a whole number from 1")


def _check_pool(settings: Settings, table: _Table, pool: tuple[int, int], protocol: str) -> None:
    if table.n_targets == 0:
        raise InputError(f"{settings.layer}: no targets in the image table, so there is nothing to find neighbours of")
    if protocol == "spc-public" and pool[0] == pool[1]:
        raise InputError(
            f"{settings.layer}: protocol spc-public looks for neighbours among the fillers, and there are none; "
            "add fillers, or use protocol paper or distinct"
        )
    n_others = pool[1] - pool[0] - (pool[0] == 0)
    if n_others < settings.n_neighbours:
        raise InputError(
            f"{settings.layer}: {settings.n_neighbours} neighbours asked for, {n_others} images in the pool; "
            "ask for fewer, or add images"
        )
    if settings.category is not None:
        _check_categories(settings, table, pool)


def _check_categories(settings: Settings, table: _Table, pool: tuple[int, int]) -> None:
    column = zarr_store.read(settings.store, "images", str(settings.category))
    ids = zarr_store.labels(settings.store, "images", "image")
    unnamed = [ids[i] for i in range(table.n_targets) if column[i] == ""]
    if unnamed:
        raise InputError(
            f"{settings.layer}: no {settings.category} is given for {len(unnamed)} targets "
            f"({', '.join(unnamed[:10])}); "
            "fill the column, or look for neighbours in all categories"
        )
    names, counts = np.unique(column[slice(*pool)], return_counts=True)
    others = dict(zip(names.tolist(), (counts - (pool[0] == 0)).tolist(), strict=True))
    few = {n: others.get(n, 0) for n in np.unique(column[: table.n_targets]).tolist()}
    few = {n: c for n, c in few.items() if c < settings.n_neighbours}
    if few:
        told = ", ".join(f"{n} has {c}" for n, c in few.items())
        raise InputError(
            f"{settings.layer}: {settings.n_neighbours} neighbours within the same {settings.category} asked for, but "
            f"{told} in the pool; ask for fewer, or look for neighbours in all categories"
        )


def _stored(settings: Settings, table: _Table, recipe: Mapping[str, object]) -> bool:
    """Make room for the layer's results; whether they are there already."""
    ids = zarr_store.labels(settings.store, "images", "image")
    zarr_store.allocate(
        settings.store,
        "distances",
        coords={
            "layer": [settings.layer],
            "target": ids[: table.n_targets],
            "image": ids,
            "neighbour": settings.n_neighbours,
        },
        chunks={},
        recipe=recipe,
    )
    row = zarr_store.position(settings.store, "distances", "layer", settings.layer)
    return bool(zarr_store.complete(settings.store, "distances", "layer")[row])


def _tile_tasks(settings: Settings, plan: DistancePlan, n_features: int, token: str) -> list[Delayed]:
    if plan.whole_rows:
        search = task(search_rows)
        return [
            search(
                settings,
                targets,
                images,
                n_features,
                plan.tile_rows,
                dask_key_name=task_key("distances", settings.layer, token, t, i),
            )
            for t, targets in enumerate(plan.targets)
            for i, images in enumerate(plan.images)
        ]
    search = task(search_products)
    return [
        search(
            settings,
            targets,
            images,
            _product_tree(settings, plan, (t, i), token),
            dask_key_name=task_key("distances", settings.layer, token, t, i),
        )
        for t, targets in enumerate(plan.targets)
        for i, images in enumerate(plan.images)
    ]


def _product_tree(settings: Settings, plan: DistancePlan, index: tuple[int, int], token: str) -> Delayed:
    multiply, add = task(multiply_features), task(add_partials)
    targets, images = plan.targets[index[0]], plan.images[index[1]]
    parts = [
        multiply(
            settings,
            targets,
            images,
            features,
            plan.tile_rows,
            dask_key_name=task_key("distances-product", settings.layer, token, *index, f),
        )
        for f, features in enumerate(plan.features)
    ]
    level = 0
    while len(parts) > 1:
        parts = [
            add(
                parts[f : f + SPLIT],
                dask_key_name=task_key("distances-sum", settings.layer, token, *index, level, f),
            )
            for f in range(0, len(parts), SPLIT)
        ]
        level += 1
    return parts[0]


# ---------------------------------------------------------------- finish


def finish_layer(settings: Settings, tiles: Sequence[TileResult], table: _Table, memory_nbytes: int) -> dict[str, int]:
    """Put the tiles of a layer together and write its results; returns the counts that are logged.

    Raises
    ------
    InputError
        If the activations of all images are the same.
    """
    release()  # rows are read again here, and many at once
    norm, duplicate_of = _image_results(settings, tiles, table.n_images)
    nearest, pool, n_rescored, read_nbytes = _neighbours(settings, tiles, table, memory_nbytes)
    nothing = nearest.image < 0
    distance = np.where(nothing, np.nan, nearest.distance)
    if nothing.any():
        logger.warning(
            "%s: %d targets have fewer than %d neighbours once exact duplicates are dropped",
            settings.layer, int(nothing.any(axis=1).sum()), settings.n_neighbours,
        )  # fmt: skip
    counts = {
        "n_rescored": n_rescored + sum(t.n_rescored for t in tiles),
        "bytes_read": read_nbytes + sum(t.read_nbytes for t in tiles),
    }
    # `distance` last: its chunk says that the layer is done.
    values = {
        "norm": norm,
        "duplicate_of": duplicate_of,
        "pool_distance": pool,
        "mean_distance": distance.mean(axis=1),
        **counts,
        "neighbour_index": nearest.image,
        "distance": distance,
    }
    row = zarr_store.position(settings.store, "distances", "layer", settings.layer)
    for name, value in values.items():
        zarr_store.write(settings.store, "distances", name, value, layer=row)
    logger.info(
        "%s: %d pairs computed again in float64, %s read, %d exact duplicates",
        settings.layer, counts["n_rescored"], gib(counts["bytes_read"]), int((duplicate_of >= 0).sum()),
    )  # fmt: skip
    return counts


def _image_results(settings: Settings, tiles: Sequence[TileResult], n_images: int) -> tuple[np.ndarray, np.ndarray]:
    norm, digest = np.full(n_images, np.nan), np.zeros(n_images, dtype=np.uint64)
    for tile in tiles:
        norm[slice(*tile.targets)], digest[slice(*tile.targets)] = tile.target_norm, tile.target_digest
        norm[slice(*tile.images)], digest[slice(*tile.images)] = tile.norm, tile.digest
    _, first, of = np.unique(digest, return_index=True, return_inverse=True)
    if len(first) == 1 and n_images > 1:
        raise InputError(
            f"{settings.layer}: the activations do not vary, all {n_images} images have the same (norm {norm[0]:g}); "
            "leave the layer out, or check the weights"
        )
    duplicate_of = first[of]
    duplicate_of[duplicate_of == np.arange(n_images)] = -1
    return norm, duplicate_of


def _neighbours(
    settings: Settings, tiles: Sequence[TileResult], table: _Table, memory_nbytes: int
) -> tuple[Nearest, np.ndarray, int, int]:
    pool_sum, pool_count = np.zeros(table.n_targets), np.zeros(table.n_targets, dtype=np.int64)
    for tile in tiles:
        pool_sum[slice(*tile.targets)] += tile.pool_sum
        pool_count[slice(*tile.targets)] += tile.pool_count
    pairs = Pairs.joined([tile.pairs for tile in tiles])
    which, distance, n_rescored, read_nbytes = np.arange(len(pairs)), pairs.square, 0, 0
    if not all(tile.exact for tile in tiles):
        which, again = unsettled(pairs, settings.n_neighbours, drop_zero=settings.drop_zero, tolerance=TOLERANCE)
        distance, doubtful = as_distance(pairs.square, settings.metric), which[again]
        n_rescored = len(doubtful)
        distance[doubtful], read_nbytes = rescore(settings, pairs[doubtful], table.n_features, memory_nbytes // 2)
        add_to_pool(pool_sum, pool_count, pairs.target, distance, drop_zero=settings.drop_zero)
    if settings.drop_zero:
        which = which[distance[which] > 0]
    nearest = Nearest.empty(table.n_targets, settings.n_neighbours)
    nearest.update(pairs.target[which], pairs.image[which], distance[which])
    with np.errstate(invalid="ignore", divide="ignore"):
        return nearest, pool_sum / pool_count, n_rescored, read_nbytes
