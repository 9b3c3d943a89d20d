"""Products of feature tiles, and the tree that adds them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from distspc.distances.feature_tiles import add_partials, multiply_features
from distspc.distances.planning.plan import TREE_FAN_IN, Range
from distspc.distances.tile import DistanceTask
from distspc.tasks import task, task_key

if TYPE_CHECKING:
    from dask.delayed import Delayed


def product_tree(
    whole: DistanceTask,
    features: Sequence[Range],
    stage: str,
    index: tuple[int, ...],
    token: str,
    *,
    dtype: DTypeLike = np.float32,
) -> Delayed:
    """Build the tasks that multiply some targets with some images, tile by tile of the features, and add the tiles up.

    Parameters
    ----------
    whole
        Targets and images, with all features.
    features
        Ranges of the features that one task multiplies.
    stage, index, token
        Names of the tasks.
    dtype
        Type of the products; sums are float64.

    Returns
    -------
    Delayed
        The `Partial` of all features.
    """
    multiply, add, layer = task(multiply_features), task(add_partials), whole.options.layer
    parts = [
        multiply(
            replace(whole, features=part), dtype, dask_key_name=task_key(f"{stage}-product", layer, token, *index, f)
        )
        for f, part in enumerate(features)
    ]
    level = 0
    while len(parts) > 1:
        parts = [
            add(parts[f : f + TREE_FAN_IN], dask_key_name=task_key(f"{stage}-sum", layer, token, *index, level, f))
            for f in range(0, len(parts), TREE_FAN_IN)
        ]
        level += 1
    return parts[0]
