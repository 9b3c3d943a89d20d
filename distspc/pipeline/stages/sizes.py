"""How large the layers of a study are, before anything is computed: from VGG-16's table, the store or the network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from distspc import layers as vgg16
from distspc.extraction.network_spec import resolve_network

if TYPE_CHECKING:
    from distspc.extraction.backends.base import NetworkSize
    from distspc.study.file import StudyFile


def n_features(study: StudyFile, layer: str) -> int:
    """Features of a layer of a study.

    Parameters
    ----------
    study
        The study.
    layer
        One of its layers.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If the network cannot be loaded or has no such layer; or if activations are taken over whose size nothing says.
    """
    stored = study.stored.layer(layer)
    if stored.exists():
        return int(stored.sizes["feature"])
    if study.images is None:
        return vgg16.n_features(layer)
    return math.prod(_network_size(study).shapes[layer])


def forward_flop(study: StudyFile) -> float:
    """Operations of a forward pass of a study's network for one image, up to its deepest layer."""
    return _network_size(study).flop


def _network_size(study: StudyFile) -> NetworkSize:
    from distspc.extraction.backends.base import NetworkSize
    from distspc.extraction.network import network_size

    weights = study.model.weights
    if weights in vgg16.N_CLASSES:  # its weights need not be there
        shapes = {layer: vgg16.vgg16_shape(layer, vgg16.N_CLASSES[weights]) for layer in study.layers}
        return NetworkSize(shapes, max(vgg16.forward_flop(layer) for layer in study.layers))
    return network_size(resolve_network(layers=study.layers, **study.model.options.network))
