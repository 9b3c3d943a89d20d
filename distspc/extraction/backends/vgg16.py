"""VGG-16 whatever runs it: its layers, its size, and its weights one layer at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from distspc.extraction.backends.base import Memory, NetworkLayer, NetworkSize, random_kernel
from distspc.extraction.files import weights as weight_files
from distspc.extraction.network_spec import NetworkSpec
from distspc.layers import VGG16, forward_flop, vgg16_shape, vgg16_weight_shapes


def needed_layers(spec: NetworkSpec) -> list[str]:
    """Layers up to the deepest requested one, in order."""
    names = list(VGG16)
    return names[: max(names.index(layer) for layer in spec.layers) + 1]


def read_weights(spec: NetworkSpec) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Kernel and bias of every layer up to the deepest requested one that has any, from the file or drawn.

    Yields
    ------
    layer : str
    weights : list of np.ndarray
        float32 (row, column, in, out) or (in, out), and (out,).

    Raises
    ------
    InputError
        If the file cannot be used.
    """
    shapes = vgg16_weight_shapes(needed_layers(spec), spec.n_classes)
    if spec.weights == "random":
        for name, (kernel, bias) in shapes.items():
            drawn = random_kernel(kernel, math.prod(kernel[:-1]), seed=spec.seed, name=name)
            yield name, [drawn, np.zeros(bias, np.float32)]
        return
    weight_files.check_digest(spec.weights, weight_files.file_digest(spec.weights, read=True), spec.digest)
    yield from weight_files.read_weights(spec.weights, shapes)


def list_layers(spec: NetworkSpec) -> list[NetworkLayer]:
    """All layers, in order."""
    return [NetworkLayer(name, _kind(name), vgg16_shape(name, spec.n_classes)) for name in VGG16]


def measure(spec: NetworkSpec, memory: Memory) -> NetworkSize:
    """How large the requested part is, by the table of the layers.

    Parameters
    ----------
    spec
        The network.
    memory
        Of a worker that runs it.
    """
    shapes = {layer: vgg16_shape(layer, spec.n_classes) for layer in spec.layers}
    return NetworkSize(shapes, max(forward_flop(layer) for layer in spec.layers), memory)


def _kind(name: str) -> str:
    words = {"pool": "MaxPooling2D", "flatten": "Flatten", "dropout": "Dropout"}
    return words.get(str(VGG16[name]), "Conv2D" if name.startswith("block") else "Dense")
