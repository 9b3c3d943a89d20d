"""Rounds of a study that does not keep all its activations: which layers are in the store at the same time.

A round extracts some layers, computes all that rests on them, and gives those back that are not kept. Every round is
another forward pass over the images, up to its deepest layer; so rounds are as few as the disk allows, and layers that
follow one another go together where that takes no more of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from distspc.errors import InputError
from distspc.layers import layer_label, layer_order
from distspc.messages import format_nbytes
from distspc.pipeline.needs.sizes import n_features

if TYPE_CHECKING:
    from distspc.study.file import StudyFile
    from distspc.study.networks import StudyNetwork

Round = tuple[str, ...]
"""Layers, in the study's order."""

METADATA_NBYTES = 2**20
IMAGE_ROW_NBYTES = 1000
"""Bytes of an image's row in the tables of the store, ids in every group among them."""


def keeps_all(study: StudyFile) -> bool:
    """Whether the activations of all layers stay in the store."""
    return all(set(network.keep) >= set(network.layers) for network in study.networks)


def kept_layers(study: StudyFile) -> set[str]:
    """Layers whose activations stay in the store."""
    return {layer_label(layer, network.model) for network in study.networks for layer in network.keep}


def study_rounds(study: StudyFile, n_images: int) -> list[Round]:
    """Return the rounds of a study; one of all layers where it keeps all.

    Parameters
    ----------
    study
        The study.
    n_images
        Its images, of both roles.

    Raises
    ------
    InputError
        If the disk that the study allows is less than a layer, or the kept ones, take; or a network cannot be loaded.
    """
    if keeps_all(study):
        return [tuple(study.layers)]
    return [found for network in study.networks for found in _network_rounds(study, network, n_images)]


def _network_rounds(study: StudyFile, network: StudyNetwork, n_images: int) -> Iterable[Round]:
    sizes = {label: layer_nbytes(study, label, n_images) for label in network.labels}
    kept = [label for label in network.labels if label in kept_layers(study)]
    room = network.disk
    if room is not None:
        _check_room(network, sizes, kept, room)
    return group_layers(sizes, kept, room)


def _check_room(network: StudyNetwork, sizes: Mapping[str, int], kept: Sequence[str], room: int) -> None:
    others = [label for label in sizes if label not in kept]
    largest = max(others, key=sizes.__getitem__, default="")
    n_kept = sum(sizes[layer] for layer in kept)
    needed = {f"{largest} alone takes": sizes.get(largest, 0), "the layers in `keep` take": n_kept}
    where = network.titled("`disk` of model" if network.model else "`disk`")
    way_out = "" if network.options.dtype == "float16" else ", or halve it with `storage: float16`"
    for what, nbytes in needed.items():
        if nbytes > room:
            raise InputError(
                f"{where} is {format_nbytes(room)}, and {what} {format_nbytes(nbytes)} before compression: allow as "
                f"much{way_out}"
            )


def group_layers(sizes: Mapping[str, int], kept: Collection[str], room: int | None = None) -> list[Round]:
    """Put layers into rounds, so few that the bytes of each fit; the kept ones together, in the last.

    Parameters
    ----------
    sizes
        Bytes of each layer.
    kept
        Layers that stay.
    room
        Bytes that the layers of a round, and those that are kept, may take; by default those of the largest layer
        that is not kept, or of all that are, whichever is more: no order of the layers takes less.

    Returns
    -------
    list of tuple of str
        Every layer once; layers of a round in the order of `sizes`.

    Examples
    --------
    >>> group_layers({"a": 30, "b": 16, "c": 8, "d": 1}, ["d"])
    [('a',), ('b', 'c', 'd')]
    """
    others = [layer for layer in sizes if layer not in kept]
    n_kept = sum(sizes[layer] for layer in sizes if layer in kept)
    room = max([n_kept, *(sizes[layer] for layer in others)]) if room is None else room
    upward = layer_order(others)
    by_size = sorted(upward, key=lambda layer: -sizes[layer])
    ways = [_fill(order, sizes, n_kept, room) for order in (upward[::-1], by_size)]
    # From the deepest layer down, each round's layers follow one another: its pass ends as early as it can.
    first, *later = min(ways, key=len)
    rounds = [[*first, *(layer for layer in sizes if layer in kept)], *later][::-1]
    return [tuple(layer for layer in sizes if layer in some) for some in rounds if some]


def _fill(order: Sequence[str], sizes: Mapping[str, int], n_kept: int, room: int) -> list[list[str]]:
    """Layers into the first round that has room, the first of which holds the kept ones too."""
    rounds: list[list[str]] = [[]]
    used = [n_kept]
    for layer in order:
        at = next((i for i, nbytes in enumerate(used) if nbytes + sizes[layer] <= room), len(rounds))
        if at == len(rounds):
            rounds.append([])
            used.append(0)
        rounds[at].append(layer)
        used[at] += sizes[layer]
    return rounds


def layer_nbytes(study: StudyFile, layer: str, n_images: int) -> int:
    """Bytes of a layer's activations before compression."""
    return n_features(study, layer) * n_images * np.dtype(study.network_of(layer).options.dtype).itemsize


def activation_peak(study: StudyFile, rounds: Sequence[Sequence[str]], n_images: int) -> int:
    """Return the most bytes of activations that are in the store at the same time, before compression."""
    kept, held, most = kept_layers(study), 0, 0
    for layers in rounds:
        sizes = {layer: layer_nbytes(study, layer, n_images) for layer in layers}
        most = max(most, held + sum(sizes.values()))
        held += sum(nbytes for layer, nbytes in sizes.items() if layer in kept)
    return most


def disk_peak(study: StudyFile, rounds: Sequence[Round], n_targets: int, n_images: int) -> int:
    """Return the most bytes that the store and its work files take at the same time, before compression."""
    units = max(sum(_units_nbytes(study, layer, n_images) for layer in layers) for layers in rounds)
    return activation_peak(study, rounds, n_images) + units + _results_nbytes(study, n_targets, n_images)


def _units_nbytes(study: StudyFile, layer: str, n_images: int) -> int:
    s = study.reconstruction
    return 4 * n_images * min(len(s.seeds) * s.n_units, n_features(study, layer))


def _results_nbytes(study: StudyFile, n_targets: int, n_images: int) -> int:
    s = study.reconstruction
    distances = 16 * (n_targets * (study.distinctiveness.n_neighbours + 1) + n_images)
    fit = 8 * (n_images + s.n_units * (s.n_codewords + 1) + 3 * s.n_batches)
    moments = sum(16 * n_features(study, layer) for layer in study.layers) if study.scaling != "none" else 0
    further = sum(
        8 * n_images * len(one.measure.columns) * len(s.seeds) + 32 * n_features(study, layer)
        for one in study.measures
        for layer in study.layers
    )
    gram = 0 if study.relate.readout is None else 8 * n_targets**2
    by_layer = further + len(study.layers) * (distances + gram + len(s.seeds) * fit)
    return by_layer + moments + n_images * IMAGE_ROW_NBYTES + (len(study.layers) + 5) * METADATA_NBYTES // 4
