"""Which layers of other stores were made by the same network, and which of their images a study has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distspc.errors import InputError
from distspc.extraction.assemble import ChunkOrigin
from distspc.layers import layer_label, split_layer
from distspc.store.activations import images_of
from distspc.store.group import different_settings
from distspc.store.rows import Donor, Origin, find_origin
from distspc.store.store import Store


@dataclass(frozen=True)
class OtherStore:
    """A store whose activations may be taken.

    Attributes
    ----------
    store : Store
    name : str
        What it is called where it is said from where activations are.
    is_before : bool
        Whether it is the same study before its images changed.
    """

    store: Store
    name: str
    is_before: bool = False


Recipes = Mapping[str, Mapping[str, Any]]


def find_donors(store: Store, recipes: Recipes, others: Sequence[OtherStore]) -> dict[str, list[Donor]]:
    """Layers of other stores that the same network made, with the same settings.

    Parameters
    ----------
    store
        The store that takes them.
    recipes
        What makes each layer.
    others
        The other stores.

    Returns
    -------
    dict
        By layer.
    """
    return {
        layer: [
            Donor(other.store, label, other.name, other.is_before)
            for other in others
            if (label := _same_layer(store, layer, recipe, other)) is not None
        ]
        for layer, recipe in recipes.items()
    }


def why_not(store: Store, layer: str, recipe: Mapping[str, Any], other: OtherStore) -> str:
    """Say why a layer of another store is not taken; empty where it is."""
    if _same_layer(store, layer, recipe, other) is not None:
        known = set(other.store.images.read("digest").tolist())
        shared = known.intersection(store.images.read("digest").tolist())
        return "" if shared else f"{other.name} has none of the images"
    found = list(_layers_called(other.store, layer))
    if not found:
        return f"{other.name} has no activations of {layer}"
    differences = [_differences(other.store, label, recipe) for label in found]
    return f"{layer} of {other.name} was made otherwise ({' / '.join(differences)})"


def _same_layer(store: Store, layer: str, recipe: Mapping[str, Any], other: OtherStore) -> str | None:
    """What the layer is called in another store, if the same network made it there; by its own name first."""
    labels = sorted(_layers_called(other.store, layer), key=lambda label: label != layer_label(layer, store.model))
    return next((label for label in labels if not _differences(other.store, label, recipe)), None)


def _layers_called(store: Store, layer: str) -> Iterator[str]:
    """Layers of this name of any network of a store."""
    for label in store.layers():
        if store.layer(label).given_back:
            continue
        if label == layer or store.layer(label).attributes.get("layer", split_layer(label)[0]) == layer:
            yield label


def _differences(store: Store, label: str, recipe: Mapping[str, Any]) -> str:
    known = store.layer(label).attributes.get("recipe", {})
    old, new = ({key: value for key, value in one.items() if key != "images"} for one in (known, recipe))
    return different_settings(old, new, store.layer(label).name)


def stored_like(donors: Mapping[str, Sequence[Donor]]) -> dict[str, tuple[int, ...]] | None:
    """Shapes of layers as donors have them, so that no network need be loaded; None where one has no donor."""
    if not all(donors.values()):
        return None
    return {layer: tuple(some[0].group.attributes["shape"]) for layer, some in donors.items()}


def find_origins(store: Store, donors: Mapping[str, Sequence[Donor]]) -> dict[str, Origin]:
    """Where the rows of the store's images are, by layer."""
    digests = store.images.read("digest").tolist()
    return {layer: find_origin(some, digests) for layer, some in donors.items()}


def group_chunks(
    store: Store, wanted: Mapping[int, Sequence[str]], origins: Mapping[str, Origin], batch_size: int
) -> list[list[ChunkOrigin]]:
    """Put chunks together into tasks, so that few new images in many chunks make full batches.

    Parameters
    ----------
    store
        The store.
    wanted
        By number of a chunk of images, the layers that are missing.
    origins
        By layer, where the rows of all images are.
    batch_size
        New images of the chunks of a task, at most; more where a chunk alone has more.
    """
    groups: list[list[ChunkOrigin]] = []
    begun: dict[tuple[str, ...], tuple[list[ChunkOrigin], int]] = {}
    for i, names in wanted.items():
        one = ChunkOrigin(i, {layer: origins[layer].part(images_of(store, layer, i)) for layer in names})
        n_new = int(one.is_new.sum())
        group, n_before = begun.get(tuple(names), ([], batch_size))
        if not n_new or n_before + n_new > batch_size:
            group, n_before = [], 0
            groups.append(group)
        group.append(one)
        if n_new:
            begun[tuple(names)] = group, n_before + n_new
    return groups


def refuse_no_store(others: Sequence[OtherStore], store: Store) -> None:
    """Refuse names of stores that are none, or the study's own.

    Raises
    ------
    InputError
        Names the first.
    """
    for other in others:
        if not other.store.images.exists():
            raise InputError(f"`reuse` names {str(other.store)!r}, which is no store of a study with images")
        if other.store.path.resolve() == store.path.resolve():
            raise InputError(f"`reuse` names {str(other.store)!r}, the study's own store: leave it out")
