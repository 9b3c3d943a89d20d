"""Distinctiveness: the nearest neighbours of every target in the space of one layer, exact, tiled over Dask.

One layer is cut into tasks (`distspc.distances.plan` has the formulas for their number and bytes), each of which
reads its part of the activations once; a last task puts their small results together and writes the layer's row of
group `distances`. Distances are those of float64 brute force over x - y; `distspc.kernels.distance.products` proves
why.

The number of tasks for N images, T targets and K features is ceil(N / 16,384) where the targets' rows fit in a worker's
memory, and ceil(K / 25,088) ceil(N / R) and as many again to add up otherwise, R images a task; the bytes read
are 4 K N + 4 K T (R' - 1) for R' ranges of images. A pool of 1,000,000 images is, at layer fc2, 62 tasks and 19 GB to
read; at block1_pool, in 4 GiB a task, 4,000 tasks and 3.6 TB (the activations alone are 3.2 TB).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from dask.base import tokenize

from distspc.distances.checks import check_distances, check_positive
from distspc.distances.feature_tiles import add_partials, multiply_features, search_products
from distspc.distances.finish import finish_layer
from distspc.distances.options import DistanceOptions, LayerOptions, Protocol
from distspc.distances.plan import DEFAULT_NBYTES, TREE_FAN_IN, DistancePlan, Range, plan_distances
from distspc.distances.tile import DistanceTask
from distspc.distances.whole_rows import search_rows
from distspc.kernels.distance.products import Metric
from distspc.messages import format_nbytes
from distspc.store.scaling import Scaling
from distspc.store.schema import StorePath
from distspc.store.store import Store
from distspc.tasks import task, task_key

if TYPE_CHECKING:
    from dask.delayed import Delayed


logger = logging.getLogger(__name__)


def nearest_distances(
    store: StorePath,
    *,
    layer: str,
    protocol: Protocol = DistanceOptions.protocol,
    metric: Metric = DistanceOptions.metric,
    n_neighbours: int = DistanceOptions.n_neighbours,
    category: str | None = DistanceOptions.category,
    scaling: Scaling = DistanceOptions.scaling,
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
    scaling
        ``none``, or ``z-score``: features standardised over all images (`distspc.compute_moments` makes what that
        needs), ``(x - mean) / sd`` in float64 rounded to float32; distances and norms are exact on these.
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
        check_positive(name, value)
    options = LayerOptions(
        protocol, metric, n_neighbours, category, scaling, store=Store(store), layer=layer, n_threads=n_threads
    )
    return layer_tasks(options, memory_nbytes=memory_nbytes, n_workers=n_workers)


def layer_tasks(settings: LayerOptions, *, memory_nbytes: int | None = None, n_workers: int = 1) -> list[Delayed]:
    """Build the tasks of one layer; see `nearest_distances`."""
    if not missing(settings):
        return []
    prepare(settings, memory_nbytes=memory_nbytes, n_workers=n_workers)
    return tasks(settings, memory_nbytes=memory_nbytes, n_workers=n_workers)


def tasks(settings: LayerOptions, *, memory_nbytes: int | None = None, n_workers: int = 1) -> list[Delayed]:
    """Build the tasks of a layer that is prepared."""
    layer, size = settings.layer, check_distances(settings)
    plan = plan_distances(size, memory_nbytes=memory_nbytes, n_workers=n_workers, limits=settings.limits)
    token = tokenize(settings, plan, settings.store.layer(layer).attributes.get("recipe"))[:8]
    tiles = _tile_tasks(settings, plan, size.n_features, token)
    logger.info(
        "%s: %d tasks of at most %s, %s to read",
        layer,
        plan.n_tasks,
        format_nbytes(plan.task_nbytes),
        format_nbytes(plan.read_nbytes),
    )
    finish = task(finish_layer)(
        settings,
        tiles,
        size,
        memory_nbytes or DEFAULT_NBYTES,
        dask_key_name=task_key("distances-finish", layer, token),
    )
    return [*tiles, finish]


def missing(settings: LayerOptions) -> bool:
    """Whether results of the layer are missing; writes nothing.

    Raises
    ------
    InputError
        If the settings cannot be used on the layer, or the store holds distances of others.
    """
    size, group = check_distances(settings), settings.store.distances
    if not group.exists():
        return True
    group.refuse_other_recipe(settings.recipe)
    known = group.intact_labels("layer")
    lengths = [len(group.intact_labels(dim)) for dim in ("target", "image")]
    same = lengths == [size.n_targets, size.pool[1]]
    return not same or settings.layer not in known or not bool(group.complete("layer")[known.index(settings.layer)])


def prepare(settings: LayerOptions, *, memory_nbytes: int | None = None, n_workers: int = 1) -> None:
    """Allocate the results of the layer; a task that does not fit in the memory is refused before."""
    size = check_distances(settings)
    plan_distances(size, memory_nbytes=memory_nbytes, n_workers=n_workers, limits=settings.limits)
    ids = settings.store.images.labels("image")
    settings.store.distances.allocate(
        coords={
            "layer": [settings.layer],
            "target": ids[: size.n_targets],
            "image": ids,
            "neighbour": settings.n_neighbours,
        },
        chunks={},
        recipe=settings.recipe,
    )


def _tile_tasks(settings: LayerOptions, plan: DistancePlan, n_features: int, token: str) -> list[Delayed]:
    tasks = []
    for (t, targets), (i, images) in product(enumerate(plan.targets), enumerate(plan.images)):
        whole = DistanceTask(settings, targets, images, (0, n_features), plan.tile_rows)
        key = task_key("distances", settings.layer, token, t, i)
        if plan.whole_rows:
            tasks.append(task(search_rows)(whole, dask_key_name=key))
        else:
            products = _product_tree(whole, plan.features, (t, i), token)
            tasks.append(task(search_products)(whole, products, dask_key_name=key))
    return tasks


def _product_tree(whole: DistanceTask, features: Sequence[Range], index: tuple[int, int], token: str) -> Delayed:
    multiply, add, layer = task(multiply_features), task(add_partials), whole.options.layer
    parts = [
        multiply(replace(whole, features=part), dask_key_name=task_key("distances-product", layer, token, *index, f))
        for f, part in enumerate(features)
    ]
    level = 0
    while len(parts) > 1:
        parts = [
            add(
                parts[f : f + TREE_FAN_IN],
                dask_key_name=task_key("distances-sum", layer, token, *index, level, f),
            )
            for f in range(0, len(parts), TREE_FAN_IN)
        ]
        level += 1
    return parts[0]
