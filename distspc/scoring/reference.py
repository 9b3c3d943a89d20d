"""A study as the frozen reference that new images are scored against: what its store holds, and what it lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from distspc.distances.checks import check_distances
from distspc.distances.options import DistanceOptions, LayerOptions
from distspc.distances.planning.plan import LayerSize
from distspc.errors import InputError
from distspc.io.files import hex_digest
from distspc.layers import split_layer
from distspc.measures.registry import MEASURES
from distspc.messages import did_you_mean, shorten
from distspc.reconstruction.fit import missing_seeds
from distspc.reconstruction.frozen import offset_is_stored
from distspc.reconstruction.options import ReconstructionOptions
from distspc.store.activations import has_activations, when_given_back
from distspc.store.group import Group
from distspc.store.store import Store
from distspc.study.file import StudyFile

State = tuple[tuple[str, str], ...]
"""Of each group that results rest on, its recipe and when it was begun; empty where that is not known."""


@dataclass(frozen=True)
class LayerReference:
    """What of a layer new images can be scored against.

    Attributes
    ----------
    layer
        Its label in the study.
    n_features
        Features of an image.
    has_activations
        Whether the activations of all images of the study are there: the pool of neighbours.
    size
        Size of the layer and range of its pool; None where no neighbours can be found.
    seeds
        Seeds of the reconstruction that are complete.
    """

    layer: str
    n_features: int
    has_activations: bool
    size: LayerSize | None
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Reference:
    """A study as it is when scoring begins, in plain values that travel to the workers.

    Attributes
    ----------
    store
        Its store, which is only read.
    distance, reconstruction
        Its settings.
    layers
        Its layers that anything can be scored at.
    seeds
        Seeds of the reconstruction that any of these has.
    notices
        What cannot be given, why, and what to do.
    state
        What made the results that it is scored against (`study_state`).
    """

    store: Store
    distance: DistanceOptions
    reconstruction: ReconstructionOptions
    layers: tuple[LayerReference, ...]
    seeds: tuple[int, ...]
    notices: tuple[str, ...]
    state: State

    @property
    def fingerprint(self) -> str:
        """Digest of all that the numbers rest on: another one is another study, or another state of it."""
        parts = [[one.layer, one.has_activations, one.size is not None, one.seeds] for one in self.layers]
        return hex_digest(json.dumps([self.state, parts]).encode())[:16]

    @property
    def pool_nbytes(self) -> int:
        """Bytes of activations of the study that are read once for every task of all layers."""
        return sum(4 * one.n_features * one.size.n_pool for one in self.layers if one.size is not None)

    def of_layers(self, layers: Sequence[str]) -> Reference:
        """The same, of some of its layers."""
        return replace(self, layers=tuple(one for one in self.layers if one.layer in layers))

    def layer_options(self, layer: str) -> LayerOptions:
        """Settings of the distances at a layer."""
        return LayerOptions(**asdict(self.distance), store=self.store, layer=layer)


def chosen_layers(study: StudyFile, layers: Sequence[str] | None) -> list[str]:
    """Labels of the layers that are asked for, in the study's order; a layer's own name means that of every model.

    Raises
    ------
    InputError
        If the study has no such layer.
    """
    if not layers:
        return list(study.layers)
    for layer in layers:
        if not any(layer in (label, split_layer(label)[0]) for label in study.layers):
            hint = did_you_mean(layer, study.layers)
            raise InputError(f"the study has no layer {layer!r}; {hint}it has {', '.join(study.layers)}")
    return [label for label in study.layers if {label, split_layer(label)[0]} & set(layers)]


def read_reference(study: StudyFile, layers: Sequence[str] | None = None) -> Reference:
    """Look what a study's store holds to score images against; nothing is written.

    Parameters
    ----------
    study
        The study.
    layers
        Layers to look at; all by default.

    Raises
    ------
    InputError
        If the store has nothing to score against, or there is no such layer.
    """
    store, labels = study.stored, chosen_layers(study, layers)
    if not store.images.exists():
        raise InputError(f"{store} holds no images yet: run `distspc run` before images are scored against the study")
    looks = [_Look(study, label) for label in labels]
    found = tuple(look.reference for look in looks if look.reference.size is not None or look.reference.seeds)
    notices = tuple(_joined_notices(looks))
    if not found:
        raise InputError(f"{store} has nothing to score images against yet: {'; '.join(notices)}")
    seeds = tuple(seed for seed in study.reconstruction.seeds if any(seed in one.seeds for one in found))
    options = study.distance_options, study.reconstruction_options
    return Reference(store, *options, found, seeds, notices, study_state(store, labels))


def study_state(store: Store, layers: Sequence[str]) -> State:
    """What made the results of some layers, and since when they are there."""
    names = [store.layer(layer).name for layer in layers] + [store.scaling(layer).name for layer in layers]
    measures = [store.measure(word) for word in MEASURES]
    groups = [store.images, *map(store.__getitem__, names), store.distances, store.reconstruction, *measures]
    return tuple(map(_made, groups))


def _made(group: Group) -> tuple[str, str]:
    """Recipe of a group, and when it was begun, which is kept at the end of the stage that makes it."""
    if not group.exists():
        return "", ""
    attributes = group.attributes
    return json.dumps(attributes.get("recipe"), sort_keys=True), str(attributes.get("written", [""])[0])


def has_changed(before: State, now: State) -> bool:
    """Whether what was there is not there any more, or was made anew; what came to it changes nothing."""
    pairs = zip(before, now, strict=True)
    return any((was and was != is_) or (begun and begun != since) for (was, begun), (is_, since) in pairs)


class _Look:
    """A look at one layer: what can be scored at it, and why other things cannot."""

    def __init__(self, study: StudyFile, layer: str) -> None:
        self.study, self.store, self.layer = study, study.stored, layer
        self.reasons: dict[str, str] = {}
        self.reference = self._look()

    def _look(self) -> LayerReference:
        group = self.store.layer(self.layer)
        if not group.exists():
            self.reasons["activations are not there yet: run `distspc extract`"] = "neither measure"
            return LayerReference(self.layer, 0, False, None, ())
        whole = has_activations(self.store, self.layer)
        size = self._size() if whole else None
        if not whole:
            self.reasons[self._why_not_whole(group)] = "no distances"
        return LayerReference(self.layer, int(group.sizes["feature"]), whole, size, self._seeds())

    def _why_not_whole(self, group: Group) -> str:
        """Why the pool of neighbours is not there."""
        if said := when_given_back(group):
            return f"the activations were {said}; `distspc run STUDY.yaml --extract-again` makes them again"
        return "some activations are not there yet: run `distspc extract`"

    def _size(self) -> LayerSize | None:
        """Size of the layer and its pool, if neighbours can be found there."""
        options = LayerOptions(**asdict(self.study.distance_options), store=self.store, layer=self.layer)
        try:
            size = check_distances(options)
        except InputError as error:
            self.reasons[str(error).removeprefix(f"{self.layer}: ")] = "no distances"
            return None
        if not self._has_distances():
            self.reasons["the study's own distances are not there yet: run `distspc distances`"] = (
                "no percentiles of distinctiveness"
            )
        return size

    def _has_distances(self) -> bool:
        group = self.store.distances
        known = group.intact_labels("layer") if group.exists() else []
        return self.layer in known and bool(group.complete("layer")[known.index(self.layer)])

    def _seeds(self) -> tuple[int, ...]:
        wanted = self.study.reconstruction.seeds
        group = self.store.reconstruction
        left = missing_seeds(self.store, self.layer, wanted) if group.exists() else list(wanted)
        if left:
            of_seeds = "" if len(left) == len(wanted) else f" of {_seeds_in_words(left)}"
            self.reasons["the sparse code is not fitted yet: run `distspc reconstruct`"] = (
                f"no reconstruction errors{of_seeds}"
            )
        return tuple(seed for seed in wanted if seed not in left)


def _seeds_in_words(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _joined_notices(looks: Sequence[_Look]) -> Iterator[str]:
    """What is missing, the layers of one reason together."""
    layers: dict[tuple[str, str], list[str]] = {}
    for look in looks:
        for reason, lacking in look.reasons.items():
            layers.setdefault((lacking, reason), []).append(look.layer)
    for (lacking, reason), some in layers.items():
        where = "any layer" if len(some) == len(looks) > 1 else shorten(some)
        yield f"{lacking} at {where}: {reason}"


def missing_offsets(reference: Reference) -> dict[str, list[int]]:
    """Seeds by layer of which an older store does not say what was taken off the units before they were encoded.

    Raises
    ------
    InputError
        If the activations, of which it could be computed again, are not there either.
    """
    found = {}
    for one in reference.layers:
        seeds = [seed for seed in one.seeds if not offset_is_stored(reference.store, one.layer, seed)]
        if seeds and not one.has_activations:
            raise InputError(
                f"{one.layer}: the store is of an older version, which did not keep the mean that its codes were taken "
                "around, and the activations that it could be computed from are not there; extract them again "
                "(`distspc extract`), or leave the layer out with --layers"
            )
        if seeds:
            found[one.layer] = seeds
    return found


def first_training_row(store: Store, options: ReconstructionOptions) -> int:
    """Position of the first image that the model was trained on."""
    if options.train_on == "all":
        return 0
    return int(np.flatnonzero(store.images.read("role") == "filler")[0])
