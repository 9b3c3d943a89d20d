"""Further measures of new images, of `distspc.measures` and of other packages.

All of `distspc.measures` are given that the study's store has whole at a layer, against what it keeps of its images; an
image of the study keeps the values that it has there. Another measure that `distspc score` is to give adds itself to
`ADDED`::

    ADDED.append(AddedMeasure(name="participation", columns=columns, measure=measure))

`columns` says which columns the measure gives at a layer of a study (none where it does not ask for it), before
anything is computed; `measure` gives their values for some images: it is called on a worker, with the images'
activations of that layer as the store keeps them (not standardised), and with the study's store, which is only read. A
measure of the pixels alone has layer ``""``: its `columns` are asked for that layer too, and its `measure` gets no
activations. Values must not depend on which images are measured together. Percentiles among the targets are made for
columns that `stored` can give of the study's own images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from distspc.images.decoding import checked_image
from distspc.measures.base import Place
from distspc.measures.build import stored_place
from distspc.measures.registry import MEASURES
from distspc.store.scaling import stored_moments
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


def _columns(word: str, store: Store, layer: str) -> Sequence[str]:
    """Columns of a further measure that the study has whole at a layer."""
    place = stored_place(store, layer, word)
    return [] if place is None else [column.name for column in place.measure.columns]


def _measure(word: str, images: NewActivations) -> Mapping[str, np.ndarray]:
    """A further measure of new images; of the study's own what it has."""
    place = stored_place(images.store, images.layer, word)
    assert place is not None  # it has columns
    new = np.flatnonzero(images.positions < 0)
    scored = place.measure.score(place, _values(place, images, new))
    found = {}
    for name in (column.name for column in place.measure.columns):
        found[name] = place.read(name)[images.positions]
        found[name][new] = scored[name]
    return found


def _values(place: Place, images: NewActivations, which: np.ndarray) -> Iterator[np.ndarray]:
    """What a measure needs of some images, as those of the study were given to it."""
    if not images.layer:
        yield from (checked_image(images.files[i], images.digests[i]) for i in which)
        return
    moments = stored_moments(images.store, images.layer, place.scaling, slice(None))
    for i in which:
        row = images.rows[[i]]
        if moments is not None:
            moments.standardise(row)
        yield row[0]


def _stored(word: str, store: Store, layer: str, column: str) -> np.ndarray | None:
    """A column of the study's targets."""
    place = stored_place(store, layer, word)
    return None if place is None else place.read(column)[store.images.read("role") == "target"]


ADDED: list[AddedMeasure] = [
    AddedMeasure(word, partial(_columns, word), partial(_measure, word), partial(_stored, word)) for word in MEASURES
]
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
