"""Tasks that score images: some images each, at all layers of a network, in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed

from distspc.distances.new_rows import new_neighbours, row_norms
from distspc.errors import InputError
from distspc.extraction.forward import activations_of
from distspc.extraction.network_spec import NetworkSpec
from distspc.layers import split_layer
from distspc.messages import counted
from distspc.reconstruction.frozen import new_errors, read_model, recomputed_offsets
from distspc.scoring.columns import NewActivations, measure_added
from distspc.scoring.images import NewImage, positions_of
from distspc.scoring.options import DEFAULT_LIMITS, ScoreLimits
from distspc.scoring.reference import LayerReference, Reference, first_training_row
from distspc.scoring.results import LAST, LayerResults, write_layer
from distspc.store.group import Group
from distspc.store.scaling import stored_moments
from distspc.store.store import Store
from distspc.tasks import task, task_key

Offsets = Mapping[str, Mapping[int, np.ndarray]]
"""By layer and seed, what is taken off the units of models of older stores."""
Report = Callable[[str, int, int], None]
"""Told a layer, how many tiles of its pool have been read, and of how many."""


@dataclass(frozen=True)
class NetworkPass:
    """How images go through one network of a study.

    Attributes
    ----------
    spec
        The network with the layers that are asked for; None where no image needs a forward pass.
    batch_size, dtype
        Images per forward pass; type in which the study keeps activations.
    """

    spec: NetworkSpec | None
    batch_size: int
    dtype: str


@dataclass(frozen=True)
class ScoreWork:
    """What one task does: some images at the layers of one network.

    Attributes
    ----------
    reference
        The study, with these layers alone.
    network
        Their network.
    images, which
        The images, and their range among all.
    results
        Store of the results.
    offsets
        See `Offsets`.
    with_pixels
        Whether measures of the pixels are among what is missing.
    limits
        How much is done at once.
    """

    reference: Reference
    network: NetworkPass
    images: Sequence[NewImage]
    which: tuple[int, int]
    results: Store
    offsets: Offsets
    with_pixels: bool = False
    limits: ScoreLimits = DEFAULT_LIMITS


def offset_tasks(reference: Reference, missing: Mapping[str, Sequence[int]]) -> list[Delayed]:
    """Build a task for each layer of an older store that computes again what was not kept with its models."""
    again, options = task(recomputed_offsets), reference.reconstruction
    first_row = first_training_row(reference.store, options) if missing else 0
    token = tokenize(reference.fingerprint, missing)
    return [
        again(reference.store, layer, list(seeds), options, first_row, dask_key_name=task_key("offset", layer, token))
        for layer, seeds in missing.items()
    ]


def score_tasks(work: Sequence[ScoreWork]) -> list[Delayed]:
    """Build a task for each piece of work."""
    score = task(score_chunk)
    token = tokenize([(str(one.results), one.which, [layer.layer for layer in one.reference.layers]) for one in work])
    return [score(one, dask_key_name=task_key("score", "", token, i)) for i, one in enumerate(work)]


def _no_report(layer: str, n_done: int, n_tiles: int) -> None:
    """Take no note."""


def score_chunk(work: ScoreWork, report: Report = _no_report) -> None:
    """Task: score some images at the layers of one network, and write what they have.

    Raises
    ------
    InputError
        If a file has changed since it was looked at, or activations of the study cannot be used.
    """
    group, positions = work.results.new_images, positions_of(work.images)
    rows = _activations(work, positions)
    if work.with_pixels:
        _score_pixels(work, group, positions)
    for one in work.reference.layers:
        found = _score_layer(work, one, rows.pop(one.layer), positions, report)
        write_layer(group, one.layer, work.which, found)


def _activations(work: ScoreWork, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Activations of the images by layer, float32 (images, features): the study's own where it has them."""
    layers = work.reference.layers
    stored = {one.layer: (positions >= 0) & one.has_activations for one in layers}
    passing = [i for i in range(len(work.images)) if not all(there[i] for there in stored.values())]
    passed = _pass(work, passing)
    found = {}
    for one in layers:
        rows = np.empty((len(work.images), one.n_features), np.float32)
        if passing:
            rows[passing] = passed[split_layer(one.layer)[0]]
        own = np.flatnonzero(stored[one.layer])
        if len(own):
            rows[own] = work.reference.store.layer(one.layer).read("activation", image=positions[own])
        found[one.layer] = rows
    return found


def _pass(work: ScoreWork, which: Sequence[int]) -> dict[str, np.ndarray]:
    """Activations of some of the images by the layers' own names, from the network."""
    network, layers = work.network, tuple(split_layer(one.layer)[0] for one in work.reference.layers)
    if not which or not layers:
        return {}
    if network.spec is None:
        raise ValueError("images that are not in the study need a network")
    files, digests = [work.images[i].file for i in which], [work.images[i].digest for i in which]
    spec = replace(network.spec, layers=layers)
    return activations_of(spec, files, digests, batch_size=network.batch_size, dtype=network.dtype)


def _score_layer(
    work: ScoreWork, one: LayerReference, rows: np.ndarray, positions: np.ndarray, report: Report
) -> LayerResults:
    """All measures of some images at a layer."""
    reference, store = work.reference, work.reference.store
    added = measure_added(_for_measures(work, one.layer, rows, positions))
    errors = {}
    for seed in one.seeds:
        model = read_model(store, one.layer, seed, offset=work.offsets.get(one.layer, {}).get(seed))
        errors[seed] = new_errors(rows, model, store, one.layer, reference.reconstruction)
    moments = stored_moments(store, one.layer, reference.distance.scaling, slice(0, one.n_features))
    if moments is not None:
        moments.standardise(rows)
    return LayerResults(_neighbours(work, one, rows, positions, report), errors, added)


def _neighbours(
    work: ScoreWork, one: LayerReference, rows: np.ndarray, positions: np.ndarray, report: Report
) -> dict[str, np.ndarray]:
    """Norms of some images at a layer, and their nearest neighbours where the pool is there."""
    if one.size is None:
        return {LAST: row_norms(rows)}
    found = new_neighbours(
        rows,
        work.reference.layer_options(one.layer),
        one.size,
        positions=positions,
        categories=np.array([image.category for image in work.images], dtype=object),
        tile_nbytes=work.limits.tile_nbytes,
        progress=partial(report, one.layer),
    )
    return {
        "distance": found.distance,
        "neighbour_index": found.image,
        LAST: found.norm,
    }


def _for_measures(work: ScoreWork, layer: str, rows: np.ndarray, positions: np.ndarray) -> NewActivations:
    files, digests = [image.file for image in work.images], [image.digest for image in work.images]
    return NewActivations(work.reference.store, layer, rows, files, digests, positions)


def _score_pixels(work: ScoreWork, group: Group, positions: np.ndarray) -> None:
    """Measures of the pixels of some images."""
    n = len(work.images)
    added = measure_added(_for_measures(work, "", np.empty((n, 0), np.float32), positions))
    write_layer(group, "", work.which, LayerResults({LAST: np.full(n, np.nan)}, {}, added))


def refuse_without_category(images: Sequence[NewImage], column: str | None) -> None:
    """Refuse images without a category where a study looks for neighbours within categories.

    Raises
    ------
    InputError
        Names the first.
    """
    without = [image for image in images if column is not None and not image.category]
    if without:
        raise InputError(
            f"the study looks for neighbours within the same {column}, and "
            f"{counted(len(without), 'image', 'has', of=len(images))} none (the first: {without[0].file!r}): give the "
            f"images as a table with the columns path and {column}"
        )
