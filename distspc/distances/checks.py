"""What distances cannot be computed from is refused, by name."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from distspc.distances.options import PROTOCOLS, DistanceOptions, LayerOptions
from distspc.distances.planning.plan import LayerSize, Range
from distspc.errors import InputError
from distspc.kernels.distance.candidates import scales
from distspc.kernels.distance.products import METRICS
from distspc.kernels.distance.rows import RowStatistics
from distspc.messages import counted
from distspc.store.scaling import require_scaling


def check_distances(settings: LayerOptions) -> LayerSize:
    """Sizes of a layer and the range of its pool, for settings that can be used on it; see `nearest_distances`.

    Raises
    ------
    InputError
        If a setting is unknown, the pool has fewer images than neighbours, or activations or what they are to be scaled
        by are missing.
    """
    _check_settings(settings)
    size = layer_size(settings)
    _check_pool(settings, size)
    require_scaling(settings.store, settings.layer, settings.scaling)
    return size


def layer_size(settings: LayerOptions) -> LayerSize:
    """Sizes of a layer and the range of its pool.

    Raises
    ------
    InputError
        If activations are missing, or of other images than those of the table.
    """
    store, layer = settings.store, settings.layer
    group = store.layer(layer)
    sizes, chunks, role = group.sizes, group.chunks("activation"), store.images.read("role")
    if len(role) != sizes["image"]:
        raise InputError(
            f"{layer}: activations of {counted(sizes['image'], 'image')}, {len(role)} in the image table; extract this "
            "layer again"
        )
    missing = 0 if group.given_back else int((~group.done("activation")).sum())
    if missing:
        raise InputError(
            f"{layer}: {counted(missing, 'chunk of activations', 'is')} missing; run the stage extract first"
        )
    n_targets = int((role == "target").sum())
    return LayerSize(
        layer=layer,
        n_targets=n_targets,
        pool=(n_targets if settings.protocol == "spc-public" else 0, sizes["image"]),
        n_features=sizes["feature"],
        chunk_rows=chunks["image"],
        chunk_features=chunks["feature"],
        n_neighbours=int(settings.n_neighbours),
    )


def _check_settings(options: DistanceOptions) -> None:
    for name, value, allowed in (("protocol", options.protocol, PROTOCOLS), ("metric", options.metric, METRICS)):
        if value not in allowed:
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
    check_positive("n_neighbours", options.n_neighbours)


def check_positive(name: str, value: int) -> None:
    """Refuse what is no whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise InputError(f"{name} is {value!r}; it must be a whole number from 1")


def _check_pool(settings: LayerOptions, size: LayerSize) -> None:
    pool = size.pool
    if size.n_targets == 0:
        raise InputError(f"{settings.layer}: no targets in the image table, so there is nothing to find neighbours of")
    if settings.protocol == "spc-public" and pool[0] == pool[1]:
        raise InputError(
            f"{settings.layer}: protocol spc-public looks for neighbours among the fillers, and there are none; "
            "add fillers, or use protocol paper or distinct"
        )
    n_others = pool[1] - pool[0] - (pool[0] == 0)
    if n_others < settings.n_neighbours:
        raise InputError(
            f"{settings.layer}: `neighbours` is {settings.n_neighbours}, but the comparison set has "
            f"{counted(n_others, 'image')}; lower `neighbours`, or add images"
        )
    if settings.category is not None:
        _check_categories(settings, size)


def _check_categories(settings: LayerOptions, size: LayerSize) -> None:
    pool, n_targets = size.pool, size.n_targets
    column = settings.store.images.read(str(settings.category))
    ids = settings.store.images.labels("image")
    unnamed = [ids[i] for i in range(n_targets) if column[i] == ""]
    if unnamed:
        raise InputError(
            f"{settings.layer}: {counted(len(unnamed), 'target', 'has')} no {settings.category} "
            f"({', '.join(unnamed[:10])}); fill in the column, or set `within-category: false`"
        )
    names, counts = np.unique(column[slice(*pool)], return_counts=True)
    others = dict(zip(names.tolist(), (counts - (pool[0] == 0)).tolist(), strict=True))
    few = {n: others.get(n, 0) for n in np.unique(column[:n_targets]).tolist()}
    few = {n: c for n, c in few.items() if c < settings.n_neighbours}
    if few:
        sizes = ", ".join(f"{n} has {c}" for n, c in few.items())
        raise InputError(
            f"{settings.layer}: `neighbours` is {settings.n_neighbours}, but {sizes} in the comparison set of the same "
            f"{settings.category}; lower `neighbours`, or set `within-category: false`"
        )


def check_rows(settings: LayerOptions, statistics: RowStatistics, images: Range) -> None:
    """Raise InputError naming images whose activations are not finite or cannot be scaled."""
    bad = ~np.isfinite(statistics.norm_sq)
    if bad.any():
        raise InputError(
            f"{settings.layer}: NaN or infinite activations of {_named(settings, images, bad)}; extract these images "
            "again, or leave them out"
        )
    if settings.metric != "euclidean":
        check_scales(settings, statistics, images)


def check_scales(settings: LayerOptions, statistics: RowStatistics, images: Range) -> None:
    """Raise InputError naming images whose whole rows have no norm (cosine) or no variance (correlation)."""
    bad = scales(statistics, settings.metric) == 0
    if bad.any():
        lacking = "are all 0" if settings.metric == "cosine" else "do not vary (or next to nothing, beside their mean)"
        raise InputError(
            f"{settings.layer}: the activations of {_named(settings, images, bad)} {lacking}, so that "
            f"{settings.metric} distance is not defined; use metric euclidean, or leave these images out"
        )


def _named(settings: LayerOptions, images: Range, bad: np.ndarray) -> str:
    known = settings.store.images.labels("image")
    names = [str(known[images[0] + i]) for i in np.flatnonzero(bad)]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"image{'s' if len(names) > 1 else ''} {', '.join(names[:10])}{more}"
