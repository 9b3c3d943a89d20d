"""Activations in the store: allocated layers, what is missing, which images a chunk holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distspc.errors import InputError
from distspc.messages import format_nbytes
from distspc.store.format.chunks import activation_chunks
from distspc.store.group import GIVEN_BACK, Group, folder_nbytes
from distspc.store.store import Store
from distspc.tasks import ranges

_AXES = {3: ["row", "column", "channel"], 2: ["token", "channel"], 1: ["unit"]}


def stored_shapes(store: Store, recipes: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, ...]] | None:
    """Shapes of layers that the store has, made the same way: a finished study need not load the network."""
    shapes = {}
    for layer, recipe in recipes.items():
        group = store.layer(layer)
        if not group.exists():
            return None
        attrs = group.attributes
        if attrs.get("recipe") != recipe or "shape" not in attrs:
            return None
        shapes[layer] = tuple(attrs["shape"])
    return shapes


def allocate_layers(
    store: Store,
    shapes: Mapping[str, tuple[int, ...]],
    recipe: Mapping[str, Any],
    dtype: str,
    *,
    sources: Sequence[str] = (),
) -> None:
    """Allocate layers, or check that what is there was made the same way; one that was given back stays so.

    Parameters
    ----------
    store
        The store, with its image table.
    shapes
        Shape of each layer.
    recipe
        What makes them.
    dtype
        Stored type.
    sources
        Names of other stores that activations are taken from.
    """
    ids = store.images.labels("image")
    for layer, shape in shapes.items():
        if store.layer(layer).given_back:
            continue
        n_features = int(np.prod(shape))
        store.layer(layer).allocate(
            coords={"image": ids, "feature": n_features},
            chunks=activation_chunks(len(ids), n_features),
            shards={"feature": n_features},
            recipe=recipe,
            variables=["activation", *(["source"] if sources else [])],
            dtypes={"activation": dtype},
            attrs=_named(store, layer)
            | {"shape": list(shape), "axes": _AXES.get(len(shape), [f"axis_{i}" for i in range(len(shape))])},
        )
        if sources:
            store.layer(layer).set_attributes(taken_from=list(sources))


def _named(store: Store, layer: str) -> dict[str, Any]:
    """Model and own name of a layer of several networks."""
    return {"model": store.model, "layer": layer} if store.model else {}


def missing_layers(store: Store, layers: Sequence[str], made_by: Mapping[str, Any]) -> list[str]:
    """Layers that are missing, whole or in part, but for those that were given back; writes nothing.

    Raises
    ------
    StoreMismatchError
        If the store holds one of them made in another way.
    """
    wanted = []
    for layer in layers:
        group = store.layer(layer)
        if group.exists():
            group.refuse_other_recipe(made_by)
        if group.given_back:
            continue
        variables = ("image", "activation")
        if not (group.exists() and all(group.has(name) and group.done(name).all() for name in variables)):
            wanted.append(layer)
    return wanted


def left_of_given_back(store: Store, layer: str) -> int:
    """Bytes that a stop has left of a layer that was given back."""
    group = store.layer(layer)
    return folder_nbytes(group.path / "activation") if group.given_back else 0


def has_activations(store: Store, layer: str) -> bool:
    """Whether all activations of a layer are there."""
    group = store.layer(layer)
    return group.exists() and group.has("activation") and bool(group.done("activation").all())


def give_back(store: Store, layer: str) -> int:
    """Delete the activations of a layer for their disk; what is known of them stays. Returns their bytes.

    Raises
    ------
    InputError
        If they were given back before, or lie behind a link.
    """
    return store.layer(layer).give_back("activation")


def ask_again(store: Store, layer: str) -> None:
    """Ask for a layer that was given back: from now on it is missing."""
    group = store.layer(layer)
    group.set_attributes(**{GIVEN_BACK: {**group.attributes[GIVEN_BACK], "again": True}})


def when_given_back(group: Group) -> str:
    """When a layer was given back, and how large it was, in words; empty where it was not."""
    if not group.given_back:
        return ""
    known = group.attributes[GIVEN_BACK]
    return f"given back {known['when'][:10]}, {format_nbytes(known['nbytes'])}"


def refuse_given_back(store: Store, layer: str) -> None:
    """Refuse a layer whose activations were given back.

    Raises
    ------
    InputError
        Says when, and the way out.
    """
    if said := when_given_back(store.layer(layer)):
        raise InputError(
            f"{layer}: its activations are needed, and were {said}: `distspc run STUDY.yaml --extract-again` "
            "extracts them again"
        )


def missing_chunks(store: Store, layers: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Layers that are missing, whole or in part, by number of the chunk of images."""
    complete = {layer: _complete_chunks(store, layer) for layer in layers}
    n_chunks = len(complete[layers[0]])
    wanted = {i: tuple(layer for layer in layers if not complete[layer][i]) for i in range(n_chunks)}
    return {i: names for i, names in wanted.items() if names}


def _complete_chunks(store: Store, layer: str) -> np.ndarray:
    """For every chunk of images, whether all its files are there: one, or in older stores one a chunk of features."""
    return np.asarray(store.layer(layer).done("activation").all(axis=1))


def write_rows(store: Store, layer: str, images: slice, values: np.ndarray) -> None:
    """Write a chunk of images of a layer, one chunk of features after the other: a copy is made of no more than that.

    Parameters
    ----------
    store, layer
        Where to.
    images
        Positions of the images, as `images_of` gives them.
    values
        (image, feature), in the stored type.
    """
    group = store.layer(layer)
    cuts = (slice(*cut) for cut in ranges(values.shape[1], group.chunks("activation")["feature"]))
    group.write_parts("activation", (({"image": images, "feature": cut}, values[:, cut]) for cut in cuts))


def images_of(store: Store, layer: str, i: int) -> slice:
    """Positions of the images of a chunk."""
    group = store.layer(layer)
    size = group.chunks("activation")["image"]
    return slice(i * size, min((i + 1) * size, group.sizes["image"]))
