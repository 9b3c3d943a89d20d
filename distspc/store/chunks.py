"""Chunk and tile arithmetic as plain data: index ranges, task names, sizes in words."""

from __future__ import annotations

from collections.abc import Mapping

IMAGES_PER_CHUNK = 64
FEATURES_PER_CHUNK = 25_088
"""Divides the feature count of every convolutional layer of VGG-16, so that no chunk is ragged there."""


def ranges(n: int, size: int) -> tuple[tuple[int, int], ...]:
    """Half-open ranges that cover ``0..n`` in steps of `size`; the last may be shorter.

    >>> ranges(5, 2)
    ((0, 2), (2, 4), (4, 5))
    """
    return tuple((start, min(start + size, n)) for start in range(0, n, size))


def task_key(stage: str, layer: str, token: str, *index: int) -> str:
    """Name of a task; the dashboard groups by what stands before the first hyphen.

    >>> task_key("distances", "fc2", "1a2b", 3)
    'distances:fc2-1a2b-0003'
    """
    return "-".join([f"{stage}:{layer}" if layer else stage, token, *(f"{i:04d}" for i in index)])


def activation_chunks(n_images: int, n_features: int) -> Mapping[str, int]:
    """Chunk shape of an activation array: what one extraction task writes and one distance task reads."""
    return {"image": min(IMAGES_PER_CHUNK, max(n_images, 1)), "feature": min(FEATURES_PER_CHUNK, n_features)}


def gib(nbytes: float) -> str:
    """Bytes in words, in binary units.

    >>> gib(3 * 2**30)
    '3.0 GiB'
    """
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(nbytes) >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes:.0f} B"
