"""How large the layers of a study are, before anything is computed: from VGG-16's table, the store or the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

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


def refuse_unpooled_tokens(study: StudyFile, n_images: int) -> None:
    """Ask what is to be kept of tokens where the study does not say.

    Raises
    ------
    InputError
        Names the first such layer, the choices and the bytes of each for so many images.
    """
    from distspc.extraction.pooling import refuse_unpooled

    options, layers = study.model.options, study.layers
    pooling = options.pooling if isinstance(options.pooling, Mapping) else dict.fromkeys(layers, options.pooling)
    refuse_unpooled(_network_size(study).shapes, pooling, n_images, np.dtype(options.dtype).itemsize)


def forward_flop(study: StudyFile) -> float:
    """Operations of a forward pass of a study's network for one image, up to its deepest layer."""
    return _network_size(study).flop


def _network_size(study: StudyFile) -> NetworkSize:
    from distspc.extraction.network import network_size

    settings = {"layers": study.layers, **study.model.options.network}
    n_classes = vgg16.N_CLASSES.get(study.model.weights)
    if n_classes is None:
        return network_size(resolve_network(**settings))
    spec = resolve_network(**{**settings, "weights": "random", "digest": None})  # its weights need not be there
    return network_size(replace(spec, n_classes=n_classes))
