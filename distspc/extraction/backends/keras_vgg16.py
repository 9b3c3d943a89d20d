"""VGG-16 in Keras: built up to the deepest requested layer, born with its weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from distspc.extraction.backends.base import Memory, random_kernel
from distspc.extraction.files import weights as weight_files
from distspc.extraction.network_spec import NetworkSpec
from distspc.layers import VGG16, vgg16_weight_shapes

VGG16_MEMORY = Memory(building=1400 * 2**20, built=1400 * 2**20, image=30 * 2**20, left=720 * 2**20)
"""As measured, with the imports."""

Shapes = Mapping[str, Sequence[tuple[int, ...]]]


def build_vgg16(spec: NetworkSpec) -> Any:
    """Build VGG-16 up to the deepest requested layer, with its weights."""
    import keras

    last = max(list(VGG16).index(layer) for layer in spec.layers)
    shapes = vgg16_weight_shapes(list(VGG16)[: last + 1], spec.n_classes)
    weights = _random_weights(shapes, spec.seed) if spec.weights == "random" else _read_weights(shapes, spec)
    x = inputs = keras.Input((224, 224, 3), dtype="float32", name="image")
    for name, kind in list(VGG16.items())[: last + 1]:
        # Weights are born with their values, layer by layer: replacing them later would hold fc1's 0.4 GB thrice.
        given = next(weights)[1] if name in shapes else []
        layer = _vgg16_layer(name, kind, spec, given)
        x = layer(x)
        layer.kernel_initializer = layer.bias_initializer = None  # they hold the arrays
    return keras.Model(inputs, x, name="vgg16")


def _random_weights(shapes: Shapes, seed: int) -> Iterator[tuple[str, list[np.ndarray]]]:
    for name, (kernel, bias) in shapes.items():
        drawn = random_kernel(kernel, math.prod(kernel[:-1]), seed=seed, name=name)
        yield name, [drawn, np.zeros(bias, np.float32)]


def _read_weights(shapes: Shapes, spec: NetworkSpec) -> Iterator[tuple[str, list[np.ndarray]]]:
    weight_files.check_digest(spec.weights, weight_files.file_digest(spec.weights, read=True), spec.digest)
    return weight_files.read_weights(spec.weights, shapes)


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
