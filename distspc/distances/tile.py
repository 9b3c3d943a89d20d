"""One task of distances: what it compares, the tiles of images that go past its targets, and what it leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distspc.distances.options import LayerOptions
from distspc.distances.planning.plan import Range
from distspc.kernels.distance.candidates import Pairs
from distspc.kernels.distance.rows import RowStatistics


@dataclass(frozen=True)
class DistanceTask:
    """What one task compares; positions are those of the image table.

    Attributes
    ----------
    options
        What counts as near, and where the activations are.
    targets, images, features
        Ranges of each.
    tile_rows
        Images that are in memory at once, beside the targets.
    """

    options: LayerOptions
    targets: Range
    images: Range
    features: Range
    tile_rows: int

    @property
    def with_images(self) -> bool:
        """Whether what is found of the images themselves is kept: of all ranges of targets, one is enough."""
        return self.targets[0] == 0

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return self.targets[1] - self.targets[0]

    @property
    def n_images(self) -> int:
        """Number of images."""
        return self.images[1] - self.images[0]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.features[1] - self.features[0]

    def target_rows(self, targets: Range) -> slice:
        """Which of the task's targets these are."""
        return slice(targets[0] - self.targets[0], targets[1] - self.targets[0])

    def image_columns(self, images: Range) -> slice:
        """Which of the task's images these are."""
        return slice(images[0] - self.images[0], images[1] - self.images[0])


@dataclass(frozen=True)
class Tile:
    """Some images: their range, rows and statistics."""

    images: Range
    rows: np.ndarray
    statistics: RowStatistics


@dataclass(frozen=True)
class TileResult:
    """What one task leaves of its targets x images; positions are those of the image table.

    Attributes
    ----------
    targets, images
        The ranges that the task covers.
    pairs
        Pairs that may be among the nearest.
    exact
        Whether `pairs.square` is the exact distance, or else an estimate of its square.
    pool_sum, pool_count
        Sum and number of distances to the images of the task, (n_targets,).
    norm, digest
        Euclidean norm and digest of each image of the task, (n_images,); none but for the first targets.
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
    """Codes of rows and columns of a tile, for `select_candidates`."""
    return None if codes is None else (codes[slice(*targets)], codes[slice(*images)])


def self_columns(targets: Range, images: Range) -> np.ndarray:
    """Column of a tile that holds each target itself, -1 where none does."""
    position = np.arange(*targets)
    return np.where((position >= images[0]) & (position < images[1]), position - images[0], -1)
