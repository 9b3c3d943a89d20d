"""Measures of other packages that add columns for new images.

A measure that `distspc score` is to give beside distinctiveness and reconstruction error adds itself to `ADDED`::

    ADDED.append(AddedMeasure(name="participation", columns=columns, measure=measure))

`columns` says which columns the measure gives at a layer of a study (none where it does not ask for it), before
anything is computed; `measure` gives their values for some images: it is called on a worker, with the images'
activations of that layer as the store keeps them (not standardised), and with the study's store, which is only read. A
measure of the pixels alone has layer ``""``: its `columns` are asked for that layer too, and its `measure` gets no
activations. Values must not depend on which images are measured together. Percentiles among the targets are made for
columns that `stored` can give of the study's own images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distspc.store.store import Store


@dataclass(frozen=True)
class NewActivations:
    """Some new images at one layer, as a measure gets them.

    Attributes
    ----------
    store
        The study's store, to be read.
    layer
        Label of the layer; empty for measures of the pixels.
    rows
        Activations, float32 (images, features), in the values that the store would have; (images, 0) without a layer.
    files, digests
        The images' files, and ``sha256:...`` of their bytes.
    positions
        Position in the study's image table of images that are its own, -1 else, (images,).
    """

    store: Store
    layer: str
    rows: np.ndarray
    files: Sequence[str]
    digests: Sequence[str]
    positions: np.ndarray


def _nothing_stored(store: Store, layer: str, column: str) -> np.ndarray | None:
    return None


@dataclass(frozen=True)
class AddedMeasure:
    """A measure that adds columns.

    Attributes
    ----------
    name
        Its name, for messages.
    columns
        Given the study's store and a layer's label (or ""), names of the columns that it adds there.
    measure
        Given images, float64 (images,) by column.
    stored
        Given the study's store, a layer and a column, the values of the study's targets (targets,), or None.
    """

    name: str
    columns: Callable[[Store, str], Sequence[str]]
    measure: Callable[[NewActivations], Mapping[str, np.ndarray]]
    stored: Callable[[Store, str, str], np.ndarray | None] = _nothing_stored


ADDED: list[AddedMeasure] = []
"""All measures that add columns."""


def added_columns(store: Store, layers: Sequence[str]) -> dict[str, list[str]]:
    """Columns that the measures of `ADDED` give, by layer; "" is there where one needs no layer."""
    found = {layer: [name for one in ADDED for name in one.columns(store, layer)] for layer in ("", *layers)}
    return {layer: names for layer, names in found.items() if names}


def measure_added(images: NewActivations) -> dict[str, np.ndarray]:
    """Values of all columns that the measures of `ADDED` give at a layer."""
    found: dict[str, np.ndarray] = {}
    for one in ADDED:
        if one.columns(images.store, images.layer):
            found |= one.measure(images)
    return found


def stored_values(store: Store, layer: str, column: str) -> np.ndarray | None:
    """Values of a column for the study's targets, where the measure that gives it has them."""
    for one in ADDED:
        if column in one.columns(store, layer):
            return one.stored(store, layer, column)
    return None
