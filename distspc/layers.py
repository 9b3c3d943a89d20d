"""VGG-16 in one table: the order of its layers, their shapes, weights and operations; and the seven of the method."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from distspc.errors import InputError

N_CLASSES = {"hybrid1365": 1365, "imagenet": 1000, "random": 1365}
"""Width of the last layer of VGG-16, by its weights."""

INPUT_SHAPE = (224, 224, 3)

VGG16: dict[str, int | str] = {
    **{"block1_conv1": 64, "block1_conv2": 64, "block1_pool": "pool"},
    **{"block2_conv1": 128, "block2_conv2": 128, "block2_pool": "pool"},
    **{"block3_conv1": 256, "block3_conv2": 256, "block3_conv3": 256, "block3_pool": "pool"},
    **{"block4_conv1": 512, "block4_conv2": 512, "block4_conv3": 512, "block4_pool": "pool"},
    **{"block5_conv1": 512, "block5_conv2": 512, "block5_conv3": 512, "block5_pool": "pool"},
    **{"flatten": "flatten", "fc1": 4096, "drop_fc1": "dropout", "fc2": 4096, "drop_fc2": "dropout"},
    "predictions": "softmax",
}
"""VGG-16 in order: a convolution's or dense layer's width, or what else a layer is (Simonyan & Zisserman, 2015)."""


@dataclass(frozen=True)
class Layer:
    """One network layer: its name and the shape of its output for one image."""

    name: str
    shape: tuple[int, ...]

    @property
    def n_features(self) -> int:
        """Number of values of one image, flattened in C order (row, column, channel)."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of one image's activation in float32."""
        return 4 * self.n_features


def vgg16_shape(layer: str, n_classes: int) -> tuple[int, ...]:
    """Shape of a layer's output for one image.

    Parameters
    ----------
    layer
        Name of a layer of VGG-16.
    n_classes
        Width of the last layer.

    Returns
    -------
    tuple of int
        (row, column, channel) or (unit,).
    """
    return _vgg16_shapes(n_classes)[layer]


def _vgg16_shapes(n_classes: int) -> dict[str, tuple[int, ...]]:
    shape: tuple[int, ...] = INPUT_SHAPE
    shapes = {}
    for name, kind in VGG16.items():
        if kind == "pool":
            shape = (shape[0] // 2, shape[1] // 2, shape[2])
        elif kind == "flatten":
            shape = (math.prod(shape),)
        elif kind != "dropout":
            shape = (*shape[:-1], n_classes if kind == "softmax" else int(kind))
        shapes[name] = shape
    return shapes


def vgg16_weight_shapes(layers: Sequence[str], n_classes: int) -> dict[str, list[tuple[int, ...]]]:
    """Shapes of kernel and bias of the layers of VGG-16 that have any.

    Parameters
    ----------
    layers
        The first layers, in order.
    n_classes
        Width of the last layer.

    Returns
    -------
    dict
        By layer, the kernel's shape and the bias's.
    """
    outputs = _vgg16_shapes(n_classes)
    shapes: dict[str, list[tuple[int, ...]]] = {}
    n_inputs = INPUT_SHAPE[-1]
    for name in layers:
        shape = outputs[name]
        if VGG16[name] == "softmax" or isinstance(VGG16[name], int):
            shapes[name] = [(3, 3, n_inputs, shape[-1]) if len(shape) == 3 else (n_inputs, shape[-1]), (shape[-1],)]
        n_inputs = shape[-1]
    return shapes


SEVEN = (*(f"block{block}_pool" for block in range(1, 6)), "fc1", "fc2")

LAYERS: dict[str, Layer] = {name: Layer(name, vgg16_shape(name, 0)) for name in SEVEN}
"""The seven layers that the method compares."""

VGG16_LAYERS: tuple[str, ...] = tuple(name for name, kind in VGG16.items() if kind != "dropout")
"""All layer outputs of VGG-16 that a study may name, from the image upward."""


def forward_flop(layer: str) -> float:
    """Operations of VGG-16's forward pass for one image, up to a layer: two for every multiplication and addition.

    >>> f"{forward_flop('block1_pool'):.3g}"
    '3.87e+09'
    """
    below = list(VGG16)[: list(VGG16).index(layer) + 1]
    outputs = _vgg16_shapes(0)
    kernels = {name: kernel for name, (kernel, _) in vgg16_weight_shapes(below, 0).items()}
    return sum(2.0 * math.prod(outputs[name][:-1]) * math.prod(kernel) for name, kernel in kernels.items())


def n_features(layer: str) -> int:
    """Features of a layer.

    Raises
    ------
    InputError
        For a layer that is not one of the seven.
    """
    if layer not in LAYERS:
        raise InputError(f"the cost of layer {layer!r} is not known; a plan covers {', '.join(LAYERS)}")
    return LAYERS[layer].n_features


OF_MODEL = "@"
"""Stands between a layer's name, which cannot hold it, and its model's, in studies of several networks."""


def layer_label(layer: str, model: str) -> str:
    """What a layer goes by in a study: its name, and of several networks that of its model too.

    >>> layer_label("fc2", "vgg"), layer_label("fc2", "")
    ('fc2@vgg', 'fc2')
    """
    return f"{layer}{OF_MODEL}{model}" if model else layer


def split_layer(label: str) -> tuple[str, str]:
    """Layer and model of a label; the model is empty in a study of one network.

    >>> split_layer("/encoder/layer.0@clip"), split_layer("fc2")
    (('/encoder/layer.0', 'clip'), ('fc2', ''))
    """
    layer, _, model = label.partition(OF_MODEL)
    return layer, model


def models_of(labels: Sequence[str]) -> list[str]:
    """Models of some layers, each once, in their order; none in a study of one network."""
    return [model for model in dict.fromkeys(split_layer(label)[1] for label in labels) if model]


def by_model(labels: Sequence[str]) -> dict[str, list[str]]:
    """Layers of each model, in their order; all under the empty name in a study of one network.

    >>> by_model(["fc2@vgg", "a@clip", "fc1@vgg"])
    {'vgg': ['fc2@vgg', 'fc1@vgg'], 'clip': ['a@clip']}
    """
    found: dict[str, list[str]] = {}
    for label in labels:
        found.setdefault(split_layer(label)[1], []).append(label)
    return found


def folder_name(layer: str) -> str:
    """Name of a layer as a single folder: as it is but for what folders cannot be called, written %XX.

    >>> folder_name("block5_pool"), folder_name("/encoder/layer.0/Add_1_output_0"), folder_name("..")
    ('block5_pool', '%2Fencoder%2Flayer.0%2FAdd_1_output_0', '%2E.')
    """
    escaped = re.sub(r"[^\w.:+@-]", lambda found: quote(found[0], safe=""), layer)
    return escaped if re.match(r"[\w%]", escaped) else f"%{ord(escaped[0]):02X}{escaped[1:]}"


def layer_of_folder(folder: str) -> str:
    """Layer that a folder is named after.

    >>> layer_of_folder("%2Fencoder%2Flayer.0%2FAdd_1_output_0")
    '/encoder/layer.0/Add_1_output_0'
    """
    return unquote(folder)


def layer_order(layers: Sequence[str]) -> list[str]:
    """Layers from the image upward, network by network; names that are not of VGG-16 come last, as found."""
    rank = {name: i for i, name in enumerate(VGG16_LAYERS)}
    models = list(dict.fromkeys(split_layer(label)[1] for label in layers))

    def place(label: str) -> tuple[int, int]:
        layer, model = split_layer(label)
        return models.index(model), rank.get(layer, len(rank))

    return sorted(dict.fromkeys(layers), key=place)
