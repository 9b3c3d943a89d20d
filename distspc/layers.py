"""The seven layers of VGG-16 that the method compares, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from distspc.errors import InputError


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


LAYERS: dict[str, Layer] = {
    layer.name: layer
    for layer in (
        Layer("block1_pool", (112, 112, 64)),
        Layer("block2_pool", (56, 56, 128)),
        Layer("block3_pool", (28, 28, 256)),
        Layer("block4_pool", (14, 14, 512)),
        Layer("block5_pool", (7, 7, 512)),
        Layer("fc1", (4096,)),
        Layer("fc2", (4096,)),
    )
}

VGG16_LAYERS: tuple[str, ...] = (
    *(f"block{b}_conv{c}" for b, n in enumerate((2, 2, 3, 3, 3), start=1) for c in range(1, n + 1)),
    *LAYERS,
    "flatten",
    "predictions",
)
"""All layer outputs of VGG-16 that a study may name."""


FORWARD_FLOP = {
    "block1_pool": 3.87e9,
    "block2_pool": 9.42e9,
    "block3_pool": 18.67e9,
    "block4_pool": 27.92e9,
    "block5_pool": 30.69e9,
    "fc1": 30.90e9,
    "fc2": 30.93e9,
}
"""Operations of VGG-16's forward pass for one image, up to a layer: two for every multiplication with its addition."""


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


N_CLASSES = {"hybrid1365": 1365, "imagenet": 1000, "random": 1365}

# VGG-16 in order: a convolution's or dense layer's width, "pool", "flatten" or "dropout".
VGG16: dict[str, int | str] = {}
for _block, (_n_convolutions, _width) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
    VGG16.update({f"block{_block}_conv{i}": _width for i in range(1, _n_convolutions + 1)})
    VGG16[f"block{_block}_pool"] = "pool"
VGG16.update({"flatten": "flatten", "fc1": 4096, "drop_fc1": "dropout", "fc2": 4096, "drop_fc2": "dropout"})
VGG16["predictions"] = "softmax"


# ---------------------------------------------------------------- VGG-16


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
    side, channels = 224, 3
    for name, kind in VGG16.items():
        side = side // 2 if kind == "pool" else side
        channels = kind if isinstance(kind, int) else channels
        if name == layer:
            break
    if layer.startswith("block"):
        return (side, side, channels)
    return {"flatten": (side * side * 512,), "predictions": (n_classes,)}.get(layer, (4096,))


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
    shapes: dict[str, list[tuple[int, ...]]] = {}
    n_inputs = 3
    for name in layers:
        kind = n_classes if VGG16[name] == "softmax" else VGG16[name]
        if isinstance(kind, int):
            kernel = (3, 3, n_inputs, kind) if name.startswith("block") else (n_inputs, kind)
            shapes[name] = [kernel, (kind,)]
            n_inputs = kind
        elif kind == "flatten":
            n_inputs = vgg16_shape("flatten", n_classes)[0]
    return shapes


def layer_order(layers: Sequence[str]) -> list[str]:
    """Layers from the image upward; names that are not of VGG-16 come last, as found."""
    rank = {name: i for i, name in enumerate(sorted(VGG16_LAYERS, key=_depth))}
    return sorted(dict.fromkeys(layers), key=lambda name: rank.get(name, len(rank)))


def _depth(layer: str) -> tuple[int, int, str]:
    top = {"flatten": 6, "fc1": 7, "fc2": 8, "predictions": 9}
    return (int(layer[5]), layer.endswith("_pool"), layer) if layer.startswith("block") else (top[layer], 0, layer)
