"""The last task of a layer: its tiles merged, near ties settled, results stored."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from distspc.distances.feature_tiles import rescore
from distspc.distances.options import LayerOptions
from distspc.distances.plan import LayerSize
from distspc.distances.reading import release
from distspc.distances.tile import TileResult
from distspc.errors import InputError
from distspc.kernels.distance.candidates import Nearest, Pairs, add_to_pool, as_distance, undecided
from distspc.messages import format_nbytes

logger = logging.getLogger(__name__)

TOLERANCE = 1e-9
"""Relative uncertainty of a squared distance up to which a float64 estimate stands for the distance."""


def finish_layer(
    settings: LayerOptions, tiles: Sequence[TileResult], size: LayerSize, memory_nbytes: int
) -> dict[str, int]:
    """Put the tiles of a layer together and write its results; returns the counts that are logged.

    Raises
    ------
    InputError
        If the activations of all images are the same.
    """
    release()  # rows are read again here, and many at once
    norm, duplicate_of = _image_results(settings, tiles, size.n_images)
    nearest, pool, n_rescored, read_nbytes = _neighbours(settings, tiles, size, memory_nbytes)
    nothing = nearest.image < 0
    distance = np.where(nothing, np.nan, nearest.distance)
    if nothing.any():
        logger.warning(
            "%s: %d targets have fewer than %d neighbours once exact duplicates are dropped",
            settings.layer, int(nothing.any(axis=1).sum()), settings.n_neighbours,
        )  # fmt: skip
    counts = {
        "n_rescored": n_rescored + sum(t.n_rescored for t in tiles),
        "bytes_read": read_nbytes + sum(t.read_nbytes for t in tiles),
    }
    # `distance` last: its chunk says that the layer is done.
    values = {
        "norm": norm,
        "duplicate_of": duplicate_of,
        "pool_distance": pool,
        "mean_distance": distance.mean(axis=1),
        **counts,
        "neighbour_index": nearest.image,
        "distance": distance,
    }
    row = settings.store.distances.position("layer", settings.layer)
    for name, value in values.items():
        settings.store.distances.write(name, value, layer=row)
    logger.info(
        "%s: %d pairs computed again in float64, %s read, %d exact duplicates",
        settings.layer, counts["n_rescored"], format_nbytes(counts["bytes_read"]), int((duplicate_of >= 0).sum()),
    )  # fmt: skip
    return counts


def _image_results(settings: LayerOptions, tiles: Sequence[TileResult], n_images: int) -> tuple[np.ndarray, np.ndarray]:
    norm, digest = np.full(n_images, np.nan), np.zeros(n_images, dtype=np.uint64)
    for tile in tiles:
        norm[slice(*tile.targets)], digest[slice(*tile.targets)] = tile.target_norm, tile.target_digest
        norm[slice(*tile.images)], digest[slice(*tile.images)] = tile.norm, tile.digest
    _, first, of = np.unique(digest, return_index=True, return_inverse=True)
    if len(first) == 1 and n_images > 1:
        raise InputError(
            f"{settings.layer}: the activations do not vary, all {n_images} images have the same (norm {norm[0]:g}); "
            "leave the layer out, or check the weights"
        )
    duplicate_of = first[of]
    duplicate_of[duplicate_of == np.arange(n_images)] = -1
    return norm, duplicate_of


def _neighbours(
    settings: LayerOptions, tiles: Sequence[TileResult], size: LayerSize, memory_nbytes: int
) -> tuple[Nearest, np.ndarray, int, int]:
    pool_sum, pool_count = np.zeros(size.n_targets), np.zeros(size.n_targets, dtype=np.int64)
    for tile in tiles:
        pool_sum[slice(*tile.targets)] += tile.pool_sum
        pool_count[slice(*tile.targets)] += tile.pool_count
    pairs = Pairs.joined([tile.pairs for tile in tiles])
    which, distance, n_rescored, read_nbytes = np.arange(len(pairs)), pairs.square, 0, 0
    if not all(tile.exact for tile in tiles):
        which, again = undecided(pairs, settings.n_neighbours, drop_zero=settings.drop_zero, tolerance=TOLERANCE)
        distance, doubtful = as_distance(pairs.square, settings.metric), which[again]
        n_rescored = len(doubtful)
        distance[doubtful], read_nbytes = rescore(settings, pairs[doubtful], size.n_features, memory_nbytes // 2)
        add_to_pool(pool_sum, pool_count, pairs.target, distance, drop_zero=settings.drop_zero)
    if settings.drop_zero:
        which = which[distance[which] > 0]
    nearest = Nearest.empty(size.n_targets, settings.n_neighbours)
    nearest.update(pairs.target[which], pairs.image[which], distance[which])
    with np.errstate(invalid="ignore", divide="ignore"):
        return nearest, pool_sum / pool_count, n_rescored, read_nbytes
