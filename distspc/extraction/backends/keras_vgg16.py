"""VGG-16 in Keras: built up to the deepest requested layer, born with its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distspc.extraction.backends.base import Memory
from distspc.extraction.backends.vgg16 import needed_layers, read_weights
from distspc.extraction.network_spec import NetworkSpec
from distspc.layers import VGG16

VGG16_MEMORY = Memory(building=1400 * 2**20, built=1400 * 2**20, image=30 * 2**20, left=720 * 2**20)
"""As measured, with the imports."""


def build_vgg16(spec: NetworkSpec) -> Any:
    """Build VGG-16 up to the deepest requested layer, with its weights."""
    import keras

    weights = read_weights(spec)
    x = inputs = keras.Input((224, 224, 3), dtype="float32", name="image")
    for name in needed_layers(spec):
        kind = VGG16[name]
        # Weights are born with their values, layer by layer: replacing them later would hold fc1's 0.4 GB thrice.
        given = next(weights)[1] if kind == "softmax" or isinstance(kind, int) else []
        layer = _vgg16_layer(name, kind, spec, given)
        x = layer(x)
        layer.kernel_initializer = layer.bias_initializer = None  # they hold the arrays
    return keras.Model(inputs, x, name="vgg16")


def _vgg16_layer(name: str, kind: int | str, spec: NetworkSpec, given: Sequence[np.ndarray]) -> Any:
    from keras import layers

    common: dict[str, Any] = {"name": name, "dtype": spec.precision}
    if kind == "pool":
        return layers.MaxPooling2D(2, strides=2, data_format="channels_last", **common)
    if kind == "flatten":
        return layers.Flatten(data_format="channels_last", **common)
    if kind == "dropout":
        return layers.Dropout(0.5, **common)
    kernel, bias = given
    common.update(kernel_initializer=lambda shape, dtype=None: kernel, bias_initializer=lambda shape, dtype=None: bias)
    if kernel.ndim == 2:
        return layers.Dense(len(bias), activation="softmax" if kind == "softmax" else "relu", **common)
    return layers.Conv2D(len(bias), 3, padding="same", activation="relu", data_format="channels_last", **common)
