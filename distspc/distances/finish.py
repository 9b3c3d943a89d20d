"""The last tasks of a layer: what may be nearest settled, some targets at a time, then results stored."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from distspc.distances.feature_tiles import rescore
from distspc.distances.options import LayerOptions
from distspc.distances.planning.plan import LayerSize, Range
from distspc.distances.tile import TileResult
from distspc.errors import InputError
from distspc.kernels.distance.candidates import Nearest, Pairs, add_to_pool, as_distance, within_limit
from distspc.messages import counted, format_nbytes
from distspc.tasks import free_spare_memory

logger = logging.getLogger(__name__)


def settle_neighbours(
    settings: LayerOptions, targets: Range, tiles: Sequence[TileResult], size: LayerSize, memory_nbytes: int
) -> TileResult:
    """Nearest neighbours of some targets in the whole pool, exact, from tiles of the same targets, maybe among others.

    Pairs that may be nearest, and are estimates, are computed again from their rows, read in groups of at most half of
    `memory_nbytes`.
    """
    own = tiles if tiles[0].targets[0] == targets[0] else []  # what is not of some targets alone counts once
    pairs = _pairs_of(tiles, targets)
    distance, which = pairs.square, np.arange(len(pairs))
    n_rescored, read_nbytes = sum(tile.n_rescored for tile in own), sum(tile.read_nbytes for tile in own)
    rows = slice(targets[0] - tiles[0].targets[0], targets[1] - tiles[0].targets[0])
    pool_sum = np.sum([tile.pool_sum[rows] for tile in tiles], axis=0)
    pool_count = np.sum([tile.pool_count[rows] for tile in tiles], axis=0)
    if not all(tile.exact for tile in tiles):
        free_spare_memory()  # rows are read again here, and many at once
        which = within_limit(pairs, settings.n_neighbours, drop_zero=settings.drop_zero)
        distance, n_rescored = as_distance(pairs.square, settings.metric), n_rescored + len(which)
        distance[which], again = rescore(settings, pairs[which], size.n_features, memory_nbytes // 2)
        read_nbytes += again
        add_to_pool(pool_sum, pool_count, pairs.target - targets[0], distance, drop_zero=settings.drop_zero)
    if settings.drop_zero:
        which = which[distance[which] > 0]
    nearest = Nearest.empty(targets[1] - targets[0], settings.n_neighbours)
    nearest.update(pairs.target[which] - targets[0], pairs.image[which], distance[which])
    target, neighbour = np.nonzero(nearest.image >= 0)
    found = nearest.distance[target, neighbour]
    return TileResult(
        targets=targets,
        images=size.pool,
        pairs=Pairs(target + targets[0], nearest.image[target, neighbour], found, np.zeros(len(found))),
        exact=True,
        pool_sum=pool_sum,
        pool_count=pool_count,
        norm=np.concatenate([np.empty(0), *(tile.norm for tile in own)]),
        digest=np.concatenate([np.empty(0, np.uint64), *(tile.digest for tile in own if len(tile.norm))]),
        target_norm=tiles[0].target_norm[rows],
        target_digest=tiles[0].target_digest[rows],
        n_rescored=n_rescored,
        read_nbytes=read_nbytes,
    )


def _pairs_of(tiles: Sequence[TileResult], targets: Range) -> Pairs:
    pairs = Pairs.joined([tile.pairs for tile in tiles])
    return pairs[(pairs.target >= targets[0]) & (pairs.target < targets[1])]


def finish_layer(settings: LayerOptions, tiles: Sequence[TileResult], size: LayerSize) -> dict[str, int]:
    """Write the results of a layer from tiles each of which covers the whole pool; returns the counts that are logged.

    Raises
    ------
    InputError
        If the activations of all images are the same.
    """
    norm, duplicate_of = _image_results(settings, tiles, size.n_images)
    nearest, pool = _neighbours(settings, tiles, size)
    nothing = nearest.image < 0
    distance = np.where(nothing, np.nan, nearest.distance)
    if nothing.any():
        logger.warning(
            "%s: %s fewer than %s once exact duplicates are dropped",
            settings.layer, counted(int(nothing.any(axis=1).sum()), "target", "has"),
            counted(settings.n_neighbours, "neighbour"),
        )  # fmt: skip
    counts = {
        "n_rescored": sum(tile.n_rescored for tile in tiles),
        "bytes_read": sum(tile.read_nbytes for tile in tiles),
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
        "%s: %s computed again in float64, %s read, %s",
        settings.layer, counted(counts["n_rescored"], "pair"), format_nbytes(counts["bytes_read"]),
        counted(int((duplicate_of >= 0).sum()), "exact duplicate"),
    )  # fmt: skip
    return counts


def _image_results(settings: LayerOptions, tiles: Sequence[TileResult], n_images: int) -> tuple[np.ndarray, np.ndarray]:
    norm, digest = np.full(n_images, np.nan), np.zeros(n_images, dtype=np.uint64)
    for tile in tiles:
        norm[slice(*tile.targets)], digest[slice(*tile.targets)] = tile.target_norm, tile.target_digest
        if len(tile.norm):
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


def _neighbours(settings: LayerOptions, tiles: Sequence[TileResult], size: LayerSize) -> tuple[Nearest, np.ndarray]:
    nearest, pool = Nearest.empty(size.n_targets, settings.n_neighbours), np.empty(size.n_targets)
    for tile in tiles:
        nearest.update(tile.pairs.target, tile.pairs.image, tile.pairs.square)
        with np.errstate(invalid="ignore", divide="ignore"):
            pool[slice(*tile.targets)] = tile.pool_sum / tile.pool_count
    return nearest, pool
