"""The stage of further measures, on the driver: what is missing, room for it, tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from distspc.measures.base import LIMITS, Column, Limits, Place
from distspc.measures.registry import MEASURES, ChosenMeasure
from distspc.messages import counted, shorten
from distspc.store.activations import refuse_given_back
from distspc.store.format.schema import Variable
from distspc.store.group import Group
from distspc.store.notices import Notice, keep_notices
from distspc.store.scaling import Scaling, require_scaling
from distspc.store.store import Store

if TYPE_CHECKING:
    from dask.delayed import Delayed


def place_of(store: Store, layer: str, chosen: ChosenMeasure, scaling: Scaling) -> Place:
    """Where a measure is computed, with its settings; the study's scaling where the measure is of scaled features."""
    return Place(store, layer, chosen.measure, chosen.options, scaling if chosen.measure.scales else "none")


def recipe(chosen: ChosenMeasure, scaling: Scaling) -> dict[str, Any]:
    """What makes a measure what it is: the settings that the store keeps."""
    return {**chosen.options.recipe, **({"scaling": scaling} if chosen.measure.scales else {})}


def stored_place(store: Store, layer: str, word: str) -> Place | None:
    """Where a measure's results are at a layer, with the settings that made them; None where they are not complete."""
    group, measure = store.measure(word), MEASURES[word]
    if (measure.needs == "activations") != bool(layer) or not group.exists():
        return None
    made_by = dict(group.attributes["recipe"])
    scaling = made_by.pop("scaling", "none")
    chosen = ChosenMeasure(word, measure.options.of_keys(made_by))
    return place_of(store, layer, chosen, scaling) if is_complete(store, layer, chosen) else None


def at_layer(chosen: Sequence[ChosenMeasure], layer: str) -> list[ChosenMeasure]:
    """Those of some measures that a layer has; for no layer, those of the image itself."""
    needs = "activations" if layer else "images"
    return [one for one in chosen if one.measure.needs == needs]


def missing(store: Store, layer: str, chosen: Sequence[ChosenMeasure], scaling: Scaling) -> list[str]:
    """Words of the measures whose results are missing at a layer, or for the images; writes nothing.

    Raises
    ------
    InputError
        If the store holds results of other settings, or the moments for a scaling are not there.
    """
    return [one.word for one in at_layer(chosen, layer) if not is_there(store, layer, one, scaling)]


def is_there(store: Store, layer: str, chosen: ChosenMeasure, scaling: Scaling) -> bool:
    """Whether all results of a measure are there at a layer; writes nothing."""
    group = store.measure(chosen.word)
    if chosen.measure.scales:
        require_scaling(store, layer, scaling)
    if not group.exists():
        return False
    group.refuse_other_recipe(recipe(chosen, scaling))
    return group.n_intact("image") == store.images.sizes["image"] and is_complete(store, layer, chosen)


def is_complete(store: Store, layer: str, chosen: ChosenMeasure) -> bool:
    """Whether all results of a measure are there at a layer, whatever made them; writes nothing."""
    group, names = store.measure(chosen.word), [column.name for column in chosen.measure.columns]
    if not group.exists() or not all(map(group.has, names)):
        return False
    if layer and not _has_reference(store, layer, chosen):
        return False
    if not layer:
        return all(bool(group.done(name).all()) for name in names)
    known = group.intact_labels("layer")
    return layer in known and bool(group.complete("layer")[known.index(layer)])


def _has_reference(store: Store, layer: str, chosen: ChosenMeasure) -> bool:
    """Whether all is there that new images are compared with."""
    if not store.layer(layer).exists():
        return False
    names = chosen.measure.reference(place_of(store, layer, chosen, "none"))
    group = store.reference(chosen.word, layer)
    return not names or (group.exists() and all(group.has(name) and bool(group.done(name).all()) for name in names))


def prepare(
    store: Store, layer: str, chosen: Sequence[ChosenMeasure], scaling: Scaling, *, layers: Sequence[str] = ()
) -> None:
    """Allocate the results of measures at a layer, or for the images.

    Rows of all `layers` are made at once, where they are named: in their order then, whichever is computed first.
    """
    if layer:
        refuse_given_back(store, layer)
    ids = store.images.labels("image")
    for one in at_layer(chosen, layer):
        coords: dict[str, Any] = {"image": ids}
        if layer:
            coords["layer"] = list(layers) or [layer]
        if any(column.by_seed for column in one.measure.columns):
            coords["seed"] = list(one.options.recipe["seeds"])
        if layer:
            _prepare_reference(store, layer, one, scaling)
        own = one.measure.variables()
        store.measure(one.word).allocate(
            coords=coords, chunks={}, recipe=recipe(one, scaling), variables=list(own), own=own
        )


def _prepare_reference(store: Store, layer: str, chosen: ChosenMeasure, scaling: Scaling) -> None:
    """Allocate what new images are compared with, in place of that of other settings."""
    place = place_of(store, layer, chosen, scaling)
    arrays = chosen.measure.reference(place)
    if not arrays:
        return
    made_by = {**recipe(chosen, scaling), "activations": store.layer(layer).attributes.get("recipe", {})}
    if place.reference.exists() and place.reference.attributes.get("recipe") != made_by:
        place.reference.remove()
    coords = {dim: length for dims in arrays.values() for dim, length in dims.items()}
    own = {name: Variable(tuple(dims), "float64", name.replace("_", " ")) for name, dims in arrays.items()}
    chunks = {"feature": store.layer(layer).chunks("activation")["feature"]}
    place.reference.allocate(coords=coords, chunks=chunks, recipe=made_by, variables=list(own), own=own)


def note(store: Store, chosen: ChosenMeasure, layers: Sequence[str]) -> None:
    """Keep with a measure's results what is to be said of them: images without a value, how they were measured."""
    group, of_layers = store.measure(chosen.word), chosen.measure.needs == "activations"
    if not group.exists():
        return
    done = [layer for layer in (layers if of_layers else [""]) if is_complete(store, layer, chosen)]
    texts = [text for column in chosen.measure.columns for text in _undefined(group, column, done)]
    texts += chosen.measure.remarks([place_of(store, layer, chosen, "none") for layer in done])
    keep_notices(group, "measures", map(Notice, texts))


def _undefined(group: Group, column: Column, layers: Sequence[str]) -> list[str]:
    """Say of how many images a column has no value, by layer."""
    n_images, lost = group.sizes["image"], {}
    for layer in layers:
        at = {"layer": group.position("layer", layer)} if layer else {}
        if n := int(np.isnan(group.read(column.name, out=None, **at)).sum()):
            lost[layer] = n
    if not lost:
        return []
    name = f"{column.words[:1].upper()}{column.words[1:]} has no value for"
    if all(n == n_images for n in lost.values()):
        where = f" at {shorten(lost)}" if len(lost) < len(layers) else ""
        return [f"{name} any image{where} ({column.undefined})."]
    counts = [counted(n, "image", of=n_images) + (f" at {layer}" if layer else "") for layer, n in lost.items()]
    return [f"{name} {shorten(counts)} ({column.undefined})."]


def tasks(
    store: Store,
    layer: str,
    chosen: Sequence[ChosenMeasure],
    scaling: Scaling,
    wanted: Sequence[str],
    *,
    limits: Limits = LIMITS,
) -> dict[str, list[Delayed]]:
    """Build the tasks of the wanted measures at a layer that is prepared, by word."""
    places = [replace(place_of(store, layer, one, scaling), limits=limits) for one in chosen if one.word in wanted]
    return {place.measure.word: place.measure.tasks(place) for place in places}
