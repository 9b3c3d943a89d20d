"""Distinctiveness: the nearest neighbours of every target in the space of one layer, exact, tiled over Dask.

One layer is cut into tasks (`planning.plan` has the formulas for their number and bytes, and `planning.cuts` chooses
them for the workers there are); further ones settle the neighbours of some targets each where no task has seen the
whole pool; a last task puts their small results together and writes the layer's row of group `distances`. Distances are
those of float64 brute force over x - y; `distspc.kernels.distance.products` proves why. They are the same to the last
bit for every cut, as are ``neighbour_index``, ``mean_distance`` and ``duplicate_of``: what may be nearest is computed
from whole rows, whatever found it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from distspc.distances.checks import check_distances, check_positive
from distspc.distances.feature_tiles import search_products
from distspc.distances.finish import finish_layer, settle_neighbours
from distspc.distances.options import DistanceOptions, LayerOptions, Protocol
from distspc.distances.planning.cuts import plan_layers
from distspc.distances.planning.plan import DEFAULT_NBYTES, DistancePlan
from distspc.distances.tile import DistanceTask
from distspc.distances.tree import product_tree
from distspc.distances.whole_rows import search_rows
from distspc.kernels.distance.products import Metric
from distspc.kernels.threads import allowed_threads
from distspc.messages import counted, format_nbytes
from distspc.schedule import Workers
from distspc.store.activations import refuse_given_back
from distspc.store.format.schema import StorePath
from distspc.store.scaling import Scaling
from distspc.store.store import Store
from distspc.tasks import task, task_key, tokenize

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
    ``pool_distance`` (mean to the whole pool; from the products themselves, relative error below 3e-6, however cut),
    ``norm``, ``duplicate_of`` (first image with the same activation, -1 if there is none), ``n_rescored``,
    ``bytes_read``.

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
        Tasks that can run at the same time: the layer is cut so that all have work.
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
    return layer_tasks(options, Workers(n_workers, n_threads or allowed_threads(), memory_nbytes))


def layer_tasks(settings: LayerOptions, workers: Workers) -> list[Delayed]:
    """Build the tasks of one layer, alone on some workers; see `nearest_distances`."""
    if not missing(settings):
        return []
    plan = plan_layers([check_distances(settings)], workers, settings.limits)[settings.layer]
    prepare(settings, plan)
    return tasks(settings, plan, memory_nbytes=workers.task_memory_nbytes)


def tasks(settings: LayerOptions, plan: DistancePlan, *, memory_nbytes: int | None = None) -> list[Delayed]:
    """Build the tasks of a layer that is prepared, as planned; rows read again take half of `memory_nbytes` at most."""
    layer = settings.layer
    token = tokenize(settings, plan, settings.store.layer(layer).attributes.get("recipe"))[:8]
    tiles = _tile_tasks(settings, plan, token)
    settled = _settle_tasks(settings, plan, tiles, memory_nbytes or DEFAULT_NBYTES, token)
    logger.info(
        "%s: %s of at most %s, %s to read",
        layer,
        counted(plan.n_tasks, "task"),
        format_nbytes(plan.task_nbytes),
        format_nbytes(plan.read_nbytes),
    )
    finish = task(finish_layer)(
        settings,
        settled or tiles,
        plan.size,
        dask_key_name=task_key("distances-finish", layer, token),
    )
    return [*tiles, *settled, finish]


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
    lengths = [group.n_intact(dim) for dim in ("target", "image")]
    same = lengths == [size.n_targets, size.pool[1]]
    return not same or settings.layer not in known or not bool(group.complete("layer")[known.index(settings.layer)])


def prepare(settings: LayerOptions, plan: DistancePlan, *, layers: Sequence[str] = ()) -> None:
    """Allocate the results of the layer.

    Rows of all `layers` are made at once, where they are named: in their order then, whichever is computed first.
    """
    refuse_given_back(settings.store, settings.layer)
    ids = settings.store.images.labels("image")
    settings.store.distances.allocate(
        coords={
            "layer": list(layers) or [settings.layer],
            "target": ids[: plan.size.n_targets],
            "image": ids,
            "neighbour": settings.n_neighbours,
        },
        chunks={},
        recipe=settings.recipe,
    )


def _tile_tasks(settings: LayerOptions, plan: DistancePlan, token: str) -> list[Delayed]:
    tasks = []
    for (t, targets), (i, images) in product(enumerate(plan.targets), enumerate(plan.images)):
        whole = DistanceTask(settings, targets, images, (0, plan.size.n_features), plan.tile_rows)
        key = task_key("distances", settings.layer, token, t, i)
        if plan.whole_rows:
            tasks.append(task(search_rows)(whole, dask_key_name=key))
        else:
            products = product_tree(whole, plan.features, "distances", (t, i), token)
            tasks.append(task(search_products)(whole, products, plan.features, dask_key_name=key))
    return tasks


def _settle_tasks(
    settings: LayerOptions, plan: DistancePlan, tiles: Sequence[Delayed], memory_nbytes: int, token: str
) -> list[Delayed]:
    tasks, n_images = [], len(plan.images)
    for s, targets in enumerate(plan.settled):
        first = targets[0] // plan.n_targets * n_images
        some = list(tiles[first : first + n_images])
        key = task_key("distances-settle", settings.layer, token, s)
        tasks.append(task(settle_neighbours)(settings, targets, some, plan.size, memory_nbytes, dask_key_name=key))
    return tasks
