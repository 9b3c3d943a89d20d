"""Features of all images in one matrix: all of a narrow layer, some units of a wide one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from distspc.kernels.sparse_coding.training import draw_units
from distspc.measures.base import LIMITS, Place, Size, Work, reading_nbytes
from distspc.messages import shorten
from distspc.store.format.chunks import activation_chunks
from distspc.tasks import free_spare_memory, task

if TYPE_CHECKING:
    from dask.delayed import Delayed


MOST_UNITS = 4096
"""Features of a layer that are all taken; of wider layers as many units are drawn."""


def sampled_units(n_features: int, n_units: int, seed: int) -> np.ndarray:
    """Positions of the features that are taken: all, or as many units drawn without replacement, in order.

    Parameters
    ----------
    n_features, n_units
        Features of the layer, and how many are taken at most.
    seed
        Of ``RandomState``, as for the units of the reconstruction.
    """
    if n_features <= n_units:
        return np.arange(n_features)
    return np.sort(draw_units(np.random.RandomState(seed), n_features, n_units))


def sampling_remarks(places: Sequence[Place]) -> list[str]:
    """Say of which wide layers how many of the features are taken."""
    wide = [place for place in places if place.n_features > place.options.units]
    if not wide:
        return []
    layers = [f"{place.layer} ({place.n_features:,})" for place in wide]
    name, n_units = wide[0].measure.word.capitalize(), wide[0].options.units
    return [f"{name} takes {n_units:,} features, drawn at random (`units`), of {shorten(layers, most=10)}."]


def gather(place: Place) -> list[Delayed]:
    """Build the tasks that gather the features of some images each, float32: one pass over the layer."""
    return [
        task(_gather_block)(place, start, stop, dask_key_name=place.key("units", i))
        for i, (start, stop) in enumerate(place.blocks())
    ]


def gathering(size: Size, n_units: int) -> Work:
    """What these tasks take."""
    chunk = activation_chunks(*size)["image"]
    rows = LIMITS.whole_images(size.n_features, chunk)
    held = reading_nbytes(size) + 8 * min(rows, size.n_images) * min(n_units, size.n_features)  # in parts, then as one
    return Work(-(-size.n_images // rows), held, 4.0 * size.n_images * size.n_features, 0.0)


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The features of all images, (images, units)."""
    return np.concatenate(list(parts))


def _gather_block(place: Place, start: int, stop: int) -> np.ndarray:
    """Task: the features of some images."""
    free_spare_memory()  # of distances: its tasks plan with as much
    units = sampled_units(place.n_features, place.options.units, place.options.seed)
    every = slice(None) if len(units) == place.n_features else units
    return np.concatenate(list(place.parts(start, stop, every)))
