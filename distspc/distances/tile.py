"""A tile of distances, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distspc.distances.plan import Range
from distspc.kernels.distance.candidates import Pairs
from distspc.kernels.distance.rows import RowStatistics


@dataclass(frozen=True)
class TileResult:
    """What one tile of targets x images leaves; positions are those of the image table.

    Attributes
    ----------
    targets, images
        The ranges that the tile covers.
    pairs
        Pairs that may be among the nearest.
    exact
        Whether `pairs.square` is the exact distance, or else an estimate of its square.
    pool_sum, pool_count
        Sum and number of distances to the images of the tile, (n_targets,).
    norm, digest
        Euclidean norm and digest of each image of the tile, (n_images,).
    target_norm, target_digest
        The same of the targets.
    n_rescored, read_nbytes
        Pairs computed again in float64; bytes of activations read.
    """

    targets: Range
    images: Range
    pairs: Pairs
    exact: bool
    pool_sum: np.ndarray
    pool_count: np.ndarray
    norm: np.ndarray
    digest: np.ndarray
    target_norm: np.ndarray
    target_digest: np.ndarray
    n_rescored: int
    read_nbytes: int


def pair_groups(codes: np.ndarray | None, targets: Range, images: Range) -> tuple[np.ndarray, np.ndarray] | None:
    """Codes of rows and columns of a tile, for `sieve`."""
    return None if codes is None else (codes[slice(*targets)], codes[slice(*images)])


def self_columns(targets: Range, images: Range) -> np.ndarray:
    """Column of a tile that holds each target itself, -1 where none does."""
    position = np.arange(*targets)
    return np.where((position >= images[0]) & (position < images[1]), position - images[0], -1)


@dataclass(frozen=True)
class Tile:
    """Some images: their range, rows and statistics."""

    images: Range
    rows: np.ndarray
    statistics: RowStatistics
