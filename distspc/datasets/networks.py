"""The network of a new study: weights that the user names, at layers that these have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distspc.errors import InputError
from distspc.layers import LAYERS

if TYPE_CHECKING:
    from distspc.extraction.backends.base import NetworkLayer
    from distspc.extraction.network_spec import NetworkSpec

MOST_LAYERS, LEAST_BLOCKS = 5, 4


def network_settings(weights: str) -> tuple[dict[str, Any], int]:
    """Keys ``model`` and ``layers`` of a study with weights of the user's own; and the features of its smallest layer.

    Raises
    ------
    InputError
        If the weights cannot be used.
    """
    from distspc.extraction.network_spec import choose_network
    from distspc.extraction.options import is_weights_path

    named = str(Path(weights).absolute()) if is_weights_path(weights) else weights
    spec = choose_network(named)
    if spec.architecture == "vgg16":
        return {"model": {"weights": named}, "layers": _vgg16_layers(spec.weights, list(LAYERS))}, 4096
    some = _some_layers(spec)
    pooling = {"pooling": "flatten"} if any(len(one.shape) == 2 for one in some) else {}  # all tokens
    least = min(one.n_features or 1 for one in some)
    return {"model": {"weights": named, **pooling}, "layers": [one.name for one in some]}, least


def _vgg16_layers(weights: str, layers: Sequence[str]) -> list[str]:
    """Those of some layers of VGG-16 for which a file has the weights."""
    from distspc.extraction.files.weights import layers_with_weights
    from distspc.layers import VGG16, vgg16_weight_shapes

    if weights == "random":
        return list(layers)
    there = set(layers_with_weights(weights))
    below = {layer: list(VGG16)[: list(VGG16).index(layer) + 1] for layer in layers}
    found = [layer for layer in layers if there.issuperset(vgg16_weight_shapes(below[layer], 1365))]
    if not found:
        raise InputError(
            f"weights {weights!r} have the weights of none of {', '.join(layers)}: name another file of VGG-16"
        )
    return found


def _some_layers(spec: NetworkSpec) -> list[NetworkLayer]:
    """Up to five layers of any network, evenly over its depth: of its blocks' ends, where layers come in blocks."""
    from distspc.extraction.network import list_layers

    layers = [one for one in list_layers(spec) if one.n_features]
    families: dict[str, list[NetworkLayer]] = {}
    for one in layers:  # names that differ by numbers alone; the last to end is that of the ends of blocks
        families.setdefault(re.sub(r"\d+", "N", one.name), []).append(one)
    repeated = [family for family in families.values() if len(family) >= LEAST_BLOCKS]
    chosen = max(repeated, key=lambda family: layers.index(family[-1])) if repeated else layers
    places = np.linspace(0, len(chosen) - 1, min(MOST_LAYERS, len(chosen))).round().astype(int)
    return [chosen[place] for place in places]
