"""What a worker does where whole rows do not fit: products of feature tiles, their sum, candidates from the sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from distspc.distance_plan import Range, image_tiles
from distspc.distance_tasks import (
    Reader,
    Settings,
    TileResult,
    category_codes,
    check_rows,
    check_scales,
    own_columns,
    pair_groups,
    single_threaded_blas,
)
from distspc.kernels.candidates import Pairs, sieve
from distspc.kernels.distance import (
    RowStatistics,
    choose_centre,
    error_bound,
    pair_distances,
    products,
    row_statistics,
)


@dataclass(frozen=True)
class Partial:
    """Products and sums of one feature tile; adding all feature tiles gives those of whole rows."""

    products: np.ndarray
    left: RowStatistics
    right: RowStatistics
    n_tiles: int
    read_nbytes: int


def multiply_features(settings: Settings, targets: Range, images: Range, features: Range, tile_rows: int) -> Partial:
    """Float64 products and sums of one feature tile, for all pairs of some targets and a range of images.

    The result is big: it stays on the worker until `add_partials` has added it to its neighbours there. (That is
    cheaper than files: a tree adds up what lies on one worker without moving it.)
    """
    with single_threaded_blas(settings.n_threads) as n_threads:
        read = Reader(settings, features)
        rows = read(targets)
        left = row_statistics(rows, first_feature=features[0], n_threads=n_threads)
        _check_finite(settings, left, targets)
        centre = choose_centre(rows, left.square)
        if centre is not None:
            left = row_statistics(rows, centre=centre, first_feature=features[0], n_threads=n_threads)
        out = np.empty((len(rows), images[1] - images[0]))
        right: list[RowStatistics] = []
        for a, b in image_tiles(images, targets, tile_rows):
            inside = targets[0] <= a and b <= targets[1]
            tile = rows[a - targets[0] : b - targets[0]] if inside else read((a, b))
            right.append(row_statistics(tile, centre=centre, first_feature=features[0], n_threads=n_threads))
            _check_finite(settings, right[-1], (a, b))
            out[:, a - images[0] : b - images[0]] = products(
                rows, tile, centre=centre, dtype=np.float64, n_threads=n_threads
            )
    return Partial(out, left, joined(right), 1, read.nbytes)


def _check_finite(settings: Settings, statistics: RowStatistics, images: Range) -> None:
    check_rows(replace(settings, metric="euclidean"), statistics, images)


def joined(parts: list[RowStatistics]) -> RowStatistics:
    """Statistics of rows one below the other."""
    return replace(
        parts[0],
        total=np.concatenate([part.total for part in parts]),
        square=np.concatenate([part.square for part in parts]),
        centred=np.concatenate([part.centred for part in parts]),
        along=np.concatenate([part.along for part in parts]),
        digest=np.concatenate([part.digest for part in parts]),
    )


def add_partials(parts: list[Partial]) -> Partial:
    """Sum of feature tiles."""
    total = parts[0].products + parts[1].products if len(parts) > 1 else parts[0].products
    for part in parts[2:]:
        total += part.products
    return Partial(
        total,
        reduce(RowStatistics.__add__, [p.left for p in parts]),
        reduce(RowStatistics.__add__, [p.right for p in parts]),
        sum(p.n_tiles for p in parts),
        sum(p.read_nbytes for p in parts),
    )


def search_products(settings: Settings, targets: Range, images: Range, partial: Partial) -> TileResult:
    """Candidates from the products of whole rows, with what each estimate can be off; nothing is read again here."""
    check_scales(settings, partial.left, targets)
    check_scales(settings, partial.right, images)
    sieved = sieve(
        partial.products,
        partial.left,
        partial.right,
        bound=error_bound(partial.left.n_features, np.float64, n_tiles=partial.n_tiles),
        metric=settings.metric,
        n_neighbours=settings.n_neighbours,
        limit=np.full(len(partial.products), np.inf),
        drop_zero=settings.drop_zero,
        own=own_columns(targets, images),
        groups=pair_groups(category_codes(settings), targets, images),
    )
    return TileResult(
        targets,
        images,
        sieved.pairs.shifted(targets[0], images[0]),
        False,
        sieved.pool_sum,
        sieved.pool_count,
        np.sqrt(partial.right.square),
        partial.right.digest,
        np.sqrt(partial.left.square),
        partial.left.digest,
        0,
        partial.read_nbytes,
    )


def rescore(settings: Settings, pairs: Pairs, n_features: int, nbytes: int) -> tuple[np.ndarray, int]:
    """Distances of pairs from their rows, read again in groups of at most `nbytes`; and the bytes read."""
    read = Reader(settings, (0, n_features))
    distance = np.empty(len(pairs))
    order = np.lexsort((pairs.target, pairs.image))
    size = max(1, nbytes // (2 * 4 * n_features))
    with single_threaded_blas(settings.n_threads) as n_threads:
        for group in _groups(order, size):
            images, cols = np.unique(pairs.image[group], return_inverse=True)
            targets, rows = np.unique(pairs.target[group], return_inverse=True)
            x, y = read(targets), read(images)
            distance[group] = pair_distances(x, y, rows, cols, metric=settings.metric, n_threads=n_threads)
    return distance, read.nbytes


def _groups(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]
