"""Images that are nearly the same: pairs that may not both be in a set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.messages import did_you_mean, shorten

Distances = Callable[[str, Sequence[str]], np.ndarray]
"""Gives the distances between images at a layer, float64 (n, n), by the layer and the images' names."""

Pair = tuple[str, str]


def near_pairs(table: pd.DataFrame, floors: Mapping[str, float]) -> list[Pair]:
    """Pairs of images that a table shows to be nearer than a floor, or identical.

    Parameters
    ----------
    table
        A row per image, by name; columns ``neighbour:layer`` and ``distinctiveness:layer`` name the nearest neighbour
        of an image at a layer and the distance to it.
    floors
        Smallest distance allowed between two images, by layer; identical images (distance 0) are found at all layers.

    Raises
    ------
    InputError
        If the table does not have the nearest neighbours of a layer that has a floor.
    """
    layers = [name.removeprefix("neighbour:") for name in map(str, table.columns) if name.startswith("neighbour:")]
    layers = [layer for layer in layers if f"distinctiveness:{layer}" in table.columns]
    for layer in floors:
        if layer not in layers:
            raise InputError(
                f"--min-distance: no nearest neighbours at {layer!r}; {did_you_mean(layer, layers)}"
                f"there are {shorten(layers) or 'none'}"
            )
    pairs = [pair for layer in layers for pair in _near(table, layer, floors.get(layer, 0.0))]
    return sorted({(min(pair), max(pair)) for pair in pairs})


def _near(table: pd.DataFrame, layer: str, floor: float) -> Iterable[Pair]:
    distance = table[f"distinctiveness:{layer}"].to_numpy(float)
    near = (distance == 0) | (distance < floor)
    for image, other in zip(table.index[near], table.loc[near, f"neighbour:{layer}"], strict=True):
        if other in table.index and other != image:
            yield str(image), str(other)


def cliques(pairs: Iterable[Pair], images: pd.Index, identical: Iterable[Pair] = ()) -> tuple[np.ndarray, ...]:
    """Positions of images of which at most one may be taken: near pairs, and whole groups of identical images."""
    at = {str(name): i for i, name in enumerate(images)}
    groups = [sorted(at[name] for name in group if name in at) for group in [*_groups(identical), *map(set, pairs)]]
    return tuple(np.array(group) for group in sorted({tuple(group) for group in groups if len(group) > 1}))


def _groups(pairs: Iterable[Pair]) -> list[set[str]]:
    """Images that pairs join, one way or another."""
    groups: list[set[str]] = []
    for pair in pairs:
        touched = [group for group in groups if group & set(pair)]
        groups = [group for group in groups if group not in touched] + [set(pair).union(*touched)]
    return groups


def identical_pairs(table: pd.DataFrame) -> list[Pair]:
    """Pairs of images with distance 0 at a layer."""
    return near_pairs(table, {})


def too_near(distances: Distances, images: Sequence[str], floors: Mapping[str, float]) -> list[Pair]:
    """Pairs of selected images that measured distances show to be nearer than a floor, or identical."""
    found = set()
    for layer, floor in floors.items():
        d = distances(layer, images)
        for i, j in np.argwhere(np.triu((d <= 0) | (d < floor), 1)):
            found.add((min(images[i], images[j]), max(images[i], images[j])))
    return sorted(found)
