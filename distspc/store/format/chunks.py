"""Chunk and tile arithmetic as plain data: index ranges, task names, sizes in words."""

from __future__ import annotations

from collections.abc import Mapping

IMAGES_PER_CHUNK = 64
ROWS_PER_CHUNK = 8192
"""Of the image table."""
FEATURES_PER_CHUNK = 25_088
"""Divides the feature count of every convolutional layer of VGG-16, so that no chunk is ragged there."""


def activation_chunks(n_images: int, n_features: int) -> Mapping[str, int]:
    """Chunk shape of an activation array: what one extraction task writes and one distance task reads."""
    return {"image": min(IMAGES_PER_CHUNK, max(n_images, 1)), "feature": min(FEATURES_PER_CHUNK, n_features)}
