"""The Gram matrix of the targets' activations at a layer: all that a linear readout of it needs, for any score.

It is made of the tiled products of the distances, in float64: tasks multiply blocks of targets over tiles of features,
a tree adds the tiles up, and a last task of each block writes its chunks of the layer's row of group `gram`. Entries
are those of ``x @ y`` in float64 to 1e-12 of the norms, for every cut.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from distspc.distances.checks import layer_size
from distspc.distances.feature_tiles import Partial
from distspc.distances.options import LayerOptions
from distspc.distances.planning.gram_plan import GramPlan
from distspc.distances.planning.plan import LayerSize, Range
from distspc.distances.tile import DistanceTask
from distspc.distances.tree import product_tree
from distspc.errors import InputError
from distspc.messages import counted, format_nbytes
from distspc.store.activations import refuse_given_back
from distspc.store.scaling import require_scaling
from distspc.tasks import task, task_key, tokenize

if TYPE_CHECKING:
    from dask.delayed import Delayed

logger = logging.getLogger(__name__)


def recipe(settings: LayerOptions) -> dict[str, Any]:
    """What makes a Gram matrix, beside the activations."""
    return {"scaling": settings.scaling}


def check_gram(settings: LayerOptions) -> LayerSize:
    """Size of a layer whose pool are the targets.

    Raises
    ------
    InputError
        If there are fewer than two targets, or activations or what they are to be scaled by are missing.
    """
    size = layer_size(settings)
    if size.n_targets < 2:
        raise InputError(f"{size.layer}: {counted(size.n_targets, 'target')}; a readout needs two or more")
    require_scaling(settings.store, settings.layer, settings.scaling)
    return replace(size, pool=(0, size.n_targets))


def missing(settings: LayerOptions) -> bool:
    """Whether the layer's Gram matrix is missing, whole or in part; writes nothing. No activations are needed else.

    Raises
    ------
    InputError
        If the matrix is missing and cannot be made, or the store holds one of other settings.
    """
    group = settings.store.gram
    if group.exists():
        group.refuse_other_recipe(recipe(settings))
        known = group.intact_labels("layer")
        n_targets = int((settings.store.images.read("role") == "target").sum())
        same = all(group.n_intact(dim) == n_targets for dim in ("target", "other_target"))
        if same and settings.layer in known and bool(group.complete("layer")[known.index(settings.layer)]):
            return False
    check_gram(settings)
    return True


def prepare(settings: LayerOptions, plan: GramPlan, *, layers: Sequence[str] = ()) -> None:
    """Allocate the layer's matrix, and those of all `layers` where they are named, in their order."""
    refuse_given_back(settings.store, settings.layer)
    ids = settings.store.images.labels("image")[: plan.size.n_targets]
    settings.store.gram.allocate(
        coords={"layer": list(layers) or [settings.layer], "target": ids, "other_target": ids},
        chunks={"target": plan.chunk_rows, "other_target": plan.chunk_rows},
        recipe=recipe(settings),
    )


def tasks(settings: LayerOptions, plan: GramPlan) -> list[Delayed]:
    """Build the tasks of the blocks of a layer that are not there yet; the layer is prepared."""
    layer, group = settings.layer, settings.store.gram
    token = tokenize(settings, plan, settings.store.layer(layer).attributes.get("recipe"))[:8]
    done = group.done("gram")[group.position("layer", layer)]
    blocks = [block for block in plan.blocks if not _is_done(done, block, group.chunks("gram")["target"])]
    logger.info(
        "%s: Gram matrix in %s of at most %s", layer, counted(plan.n_tasks, "task"), format_nbytes(plan.task_nbytes)
    )
    found = []
    for b, (rows, columns) in enumerate(blocks):
        whole = DistanceTask(settings, rows, columns, (0, plan.size.n_features), plan.tile_rows)
        products = product_tree(whole, plan.features, "gram", (b,), token, dtype=np.float64)
        found.append(task(write_block)(whole, products, dask_key_name=task_key("gram", layer, token, b)))
    return found


def _is_done(done: np.ndarray, block: tuple[Range, Range], chunk_rows: int) -> bool:
    """Whether all chunks of a block, and of its mirror image, are there."""
    rows, columns = (slice(start // chunk_rows, -(-stop // chunk_rows)) for start, stop in block)
    return bool(done[rows, columns].all() and done[columns, rows].all())


def write_block(whole: DistanceTask, partial: Partial) -> None:
    """Write the inner products of two ranges of targets, and their mirror image."""
    rows, columns = slice(*whole.targets), slice(*whole.images)
    values, group = _uncentred(partial), whole.options.store.gram
    layer = group.position("layer", whole.options.layer)
    group.write("gram", values, layer=layer, target=rows, other_target=columns)
    if rows != columns:
        group.write("gram", values.T, layer=layer, target=columns, other_target=rows)


def _uncentred(partial: Partial) -> np.ndarray:
    """Inner products of rows from those of rows less the centre of each tile: (v + c) (w + c)."""
    left, right = partial.left.dot_centre, partial.right.dot_centre
    return np.asarray(partial.products + (left[:, None] + right) + partial.left.centre_norm_sq)  # symmetric to the bit
