"""The seven layers of VGG-16 that the method compares, as a table."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
