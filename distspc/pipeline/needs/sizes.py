"""How large the layers of a study are, before anything is computed: from the store, the network or what others made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from distspc import layers as vgg16
from distspc.errors import InputError

if TYPE_CHECKING:
    from distspc.extraction.backends.base import Memory, NetworkSize
    from distspc.extraction.engines import BackendName
    from distspc.extraction.network_spec import NetworkSpec
    from distspc.study.file import Activations, StudyFile
    from distspc.study.networks import StudyNetwork


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
        If the network cannot be loaded or has no such layer; or if imported activations of a layer that VGG-16 has not
        cannot be read.
    """
    stored = study.stored.layer(layer)
    if stored.exists():
        return int(stored.sizes["feature"])
    if study.activations is not None:
        return _n_imported(study.activations, study.layers, layer)
    network = study.network_of(layer)
    return math.prod(_network_size(network).shapes[network.own_names([layer])[0]])


def _n_imported(source: Activations, layers: Sequence[str], layer: str) -> int:
    """Features of a layer as its matrix or first file says; where that is not there, VGG-16's."""
    from distspc.extraction.imported.matrices import open_matrix
    from distspc.extraction.imported.npy_import import first_shape

    try:
        if source.folder is not None:
            return math.prod(first_shape(source.folder, layer)[0])
        return math.prod(open_matrix(source.matrices(layers)[layer], layer).shape)
    except InputError:
        if layer in vgg16.LAYERS:
            return vgg16.n_features(layer)
        raise


def refuse_unpooled_tokens(network: StudyNetwork, n_images: int) -> None:
    """Ask what is to be kept of tokens where the study does not say.

    Raises
    ------
    InputError
        Names the first such layer, the choices and the bytes of each for so many images.
    """
    from distspc.extraction.pooling import refuse_unpooled

    options, layers = network.options, network.layers
    pooling = options.pooling if isinstance(options.pooling, Mapping) else dict.fromkeys(layers, options.pooling)
    with network.named_errors():
        refuse_unpooled(_network_size(network).shapes, pooling, n_images, np.dtype(options.dtype).itemsize)


def forward_flop(network: StudyNetwork) -> float:
    """Operations of a forward pass of a network for one image, up to its deepest layer."""
    return _network_size(network).flop


def forward_memory(network: StudyNetwork) -> Memory:
    """Memory of a worker that runs a network up to its deepest layer."""
    return _network_size(network).memory


def engine(network: StudyNetwork) -> BackendName:
    """What runs a network."""
    with network.named_errors():
        return _sized_spec(network).backend


def _network_size(network: StudyNetwork) -> NetworkSize:
    from distspc.extraction.network import network_size

    with network.named_errors():
        return network_size(_sized_spec(network))


def _sized_spec(network: StudyNetwork) -> NetworkSpec:
    """The network, or one as large: weights that would be fetched need not be there."""
    n_classes = vgg16.N_CLASSES.get(network.options.weights)
    if n_classes is None:
        return network.resolved()
    untrained = replace(network, options=replace(network.options, weights="random", digest=None))
    return replace(untrained.resolved(), n_classes=n_classes)
