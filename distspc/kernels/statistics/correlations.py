"""Correlations, their bootstrap and what goes with them: NumPy in, NumPy out.

A resample of images is a row of counts (how often each image was drawn), so the moments of all resamples and all
measures are one matrix product, and nothing of size resamples x images x measures is ever built.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from distspc.kernels.statistics.groups import Floats, Groups

BLOCK_NBYTES = 2**24  # of one (resamples, images) array of counts; a few such live at a time
CACHE_NBYTES = 2**20  # of one (images, resamples) array of ranks
_SAME = 1e-10  # spread, relative to the largest value, under which values are the same but for rounding
_SAME_AS_ZERO = 1e-15  # spread that differences of rounded numbers near 1 leave where they are 0
_FLAT = 1e-12  # variance, relative to that of the whole sample, under which a resample counts as constant


# ---------------------------------------------------------------------------------------------- resampling


def resample_counts(
    n: int, n_bootstrap: int, random_state: int | None, *, block_nbytes: int = BLOCK_NBYTES
) -> Iterator[Floats]:
    """Blocks of rows of counts; each row says how often each of `n` images is in one bootstrap resample.

    The rows do not depend on the size of the blocks.

    Parameters
    ----------
    n
        Number of images.
    n_bootstrap
        Number of resamples.
    random_state
        Seed of the generator.
    block_nbytes
        Bytes of a block, or of its one row where that is longer.

    Yields
    ------
    ndarray, shape (resamples of this block, n)
        Each row sums to `n`.
    """
    rng = np.random.default_rng(random_state)
    size = max(1, block_nbytes // (8 * n))
    for start in range(0, n_bootstrap, size):
        rows = min(size, n_bootstrap - start)
        drawn = rng.integers(0, n, size=(rows, n))
        drawn += np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def leave_one_out_counts(n: int, *, block_nbytes: int = BLOCK_NBYTES) -> Iterator[Floats]:
    """Blocks of rows of counts, row i without image i: the jackknife as resamples."""
    size = max(1, block_nbytes // (8 * n))
    for start in range(0, n, size):
        rows = np.arange(start, min(start + size, n))
        counts = np.ones((len(rows), n))
        counts[np.arange(len(rows)), rows] = 0
        yield counts


# ---------------------------------------------------------------------------------------------- correlations


class _Moments(NamedTuple):
    """Sums of squares and products about the mean, per resample (b): measures x (m), score y, controls z (c)."""

    xx: Floats  # (b, m)
    yy: Floats  # (b,)
    xy: Floats  # (b, m)
    xz: Floats  # (b, m, c)
    yz: Floats  # (b, c)
    zz: Floats  # (b, c, c)


def _ratio(moments: _Moments, flat: float) -> Floats:
    """Correlation of x and y after both are freed of z, (b, m); NaN where one of them does not vary."""
    xx, yy, xy, xz, yz, zz = moments
    if zz.shape[-1]:
        inverse = np.linalg.pinv(zz, hermitian=True)
        xz_i = xz @ inverse
        xx = xx - np.sum(xz_i * xz, axis=-1)
        xy = xy - np.einsum("bmc,bc->bm", xz_i, yz)
        yy = yy - np.einsum("bc,bcd,bd->b", yz, inverse, yz)
    varies = (xx > flat) & (yy > flat)[:, None]
    scale = np.sqrt(np.where(varies, xx * yy[:, None], np.nan))
    return np.clip(xy / scale, -1.0, 1.0)


def _linear_moments(counts: Floats, x: Floats, y: Floats, z: Floats) -> _Moments:
    """Moments of Pearson's r: one product of the counts with all columns and their products."""
    (b, n), m, c = counts.shape, x.shape[1], z.shape[1]
    xz = (x[:, :, None] * z[:, None, :]).reshape(n, m * c)
    zz = (z[:, :, None] * z[:, None, :]).reshape(n, c * c)
    columns = [x, y[:, None], z, x * x, (y * y)[:, None], x * y[:, None], xz, z * y[:, None], zz]
    sums = counts @ np.concatenate(columns, axis=1)
    edges = np.cumsum([column.shape[1] for column in columns])[:-1]
    sx, sy, sz, sxx, syy, sxy, sxz, syz, szz = np.split(sums, edges, axis=1)
    total = counts.sum(axis=1, keepdims=True)
    mx, my, mz = sx / total, sy / total, sz / total
    return _Moments(
        xx=sxx - sx * mx,
        yy=(syy - sy * my)[:, 0],
        xy=sxy - sx * my,
        xz=sxz.reshape(b, m, c) - sx[:, :, None] * mz[:, None, :],
        yz=syz - sy * mz,
        zz=szz.reshape(b, c, c) - sz[:, :, None] * mz[:, None, :],
    )


def _centred_ranks(counts: Floats, column: Floats) -> Floats:
    """Mid-ranks of each image within each resample, minus their mean; counts and ranks are (n, b)."""
    _, group = np.unique(column, return_inverse=True)
    order = np.argsort(group, kind="stable")
    last = np.append(np.flatnonzero(np.diff(group[order])), len(order) - 1)  # where each group of ties ends
    upto = np.cumsum(counts[order], axis=0)[last]
    centred = upto - upto[-1]
    centred[1:] += upto[:-1]
    centred /= 2
    return np.asarray(centred[group])


def mid_ranks(column: Floats) -> Floats:
    """Ranks less their mean, shape (images,); ties share their mean rank."""
    return np.asarray(_centred_ranks(np.ones((len(column), 1)), column)[:, 0])


def _repeated(counts: Floats, column: Floats) -> Floats:
    """A column as it is in every resample, (n, b)."""
    return np.repeat(column[:, None], counts.shape[1], axis=1)


def _total(a: Floats, other: Floats) -> Floats:
    return np.asarray(np.einsum("nb,nb->b", a, other))


def _column_moments(
    counts: Floats, x: Floats, y: Floats, z: Floats, groups: Groups | None, *, ranked: bool
) -> _Moments:
    """Moments where every column is ranked anew (Spearman's rho), or freed of its groups' means, in every resample.

    Counts are (n, b) here.
    """
    b, m, c = counts.shape[1], x.shape[1], z.shape[1]

    def of_resamples(column: Floats) -> Floats:
        values = _centred_ranks(counts, column) if ranked else _repeated(counts, column)
        return values if groups is None else groups.weighted_centred(counts, values)

    ry = of_resamples(y)
    rz = [of_resamples(z[:, j]) for j in range(c)]
    wy, wz = counts * ry, [counts * column for column in rz]
    moments = _Moments(
        xx=np.empty((b, m)),
        yy=_total(wy, ry),
        xy=np.empty((b, m)),
        xz=np.empty((b, m, c)),
        yz=np.array([_total(wy, column) for column in rz]).reshape(c, b).T,
        zz=np.array([[_total(w, column) for column in rz] for w in wz]).reshape(c, c, b).transpose(2, 0, 1),
    )
    for i in range(m):
        rx = of_resamples(x[:, i])
        moments.xx[:, i] = _total(counts * rx, rx)
        moments.xy[:, i] = _total(wy, rx)
        for j in range(c):
            moments.xz[:, i, j] = _total(wz[j], rx)
    return moments


def _by_column(
    counts: Floats, x: Floats, y: Floats, z: Floats, groups: Groups | None, *, ranked: bool, cache_nbytes: int
) -> Floats:
    """Correlations by `_column_moments`, in parts of the resamples that stay in the processor's cache."""
    b, n = counts.shape
    size, flat = max(1, cache_nbytes // (8 * n)), _FLAT * n ** (3 if ranked else 1)
    parts = [np.ascontiguousarray(counts[start : start + size].T) for start in range(0, b, size)]
    return np.concatenate([_ratio(_column_moments(part, x, y, z, groups, ranked=ranked), flat) for part in parts])


def _standardised(columns: Floats) -> Floats:
    """Columns with mean 0 and standard deviation 1, so that sums of squares lose no digits."""
    centred = columns - columns.mean(axis=0)
    scale = centred.std(axis=0)
    return np.asarray(centred / np.where(scale > 0, scale, 1.0))


def weighted_correlations(
    counts: Floats,
    x: Floats,
    y: Floats,
    z: Floats,
    *,
    groups: Groups | None = None,
    method: str = "pearson",
    cache_nbytes: int = CACHE_NBYTES,
) -> Floats:
    """Correlation of each measure with the score in each resample, given the controls.

    Parameters
    ----------
    counts
        How often each image is in each resample, shape (resamples, images).
    x
        Measures, shape (images, measures).
    y
        Score, shape (images,).
    z
        Controls, shape (images, controls); no columns for a zero-order correlation.
    groups
        Groups of the images, such as categories, whose means are controlled for too: as a dummy variable for each.
    method
        ``"pearson"``, or ``"spearman"`` (ranks within each resample, ties share their mean rank).
    cache_nbytes
        Bytes of ranks that are worked on at once.

    Returns
    -------
    ndarray, shape (resamples, measures)
        The correlation of the residuals of both on the controls (ordinary least squares with intercept, in that
        very resample). NaN where a column does not vary.

    Notes
    -----
    With S the matrix of sums of squares and products, the residuals have Sxy - Sxz Szz^-1 Szy; no residual is formed.
    """
    if method == "spearman":
        return _by_column(counts, x, y, z, groups, ranked=True, cache_nbytes=cache_nbytes)
    if groups is not None:
        columns = (groups.centred(part) for part in map(_standardised, (x, y[:, None], z)))
        x, y, z = (part * _varies(part, len(y)) for part in columns)
        return _by_column(counts, x, y[:, 0], z, groups, ranked=False, cache_nbytes=cache_nbytes)
    moments = _linear_moments(counts, _standardised(x), _standardised(y), _standardised(z))
    return _ratio(moments, _FLAT * len(y))


def _varies(columns: Floats, n: int) -> Floats:
    """0 for columns that do not vary but for rounding, 1 for others."""
    return np.asarray((np.sum(columns**2, axis=0) > _FLAT * n).astype(float))


def correlations(x: Floats, y: Floats, z: Floats, *, groups: Groups | None = None, method: str = "pearson") -> Floats:
    """Correlation of each measure with the score, given the controls, shape (measures,).

    See `weighted_correlations` for the shapes.
    """
    return np.asarray(weighted_correlations(np.ones((1, len(y))), x, y, z, groups=groups, method=method)[0])


def bootstrap_correlations(
    x: Floats,
    y: Floats,
    z: Floats,
    *,
    groups: Groups | None = None,
    method: str = "pearson",
    n_bootstrap: int = 1000,
    random_state: int | None = 0,
) -> Floats:
    """Correlations in bootstrap resamples of the images, shape (n_bootstrap, measures).

    An image is drawn with all its columns, so that measure, score and controls stay together.
    See `weighted_correlations` for the shapes.
    """
    blocks = resample_counts(len(y), n_bootstrap, random_state)
    drawn = [weighted_correlations(counts, x, y, z, groups=groups, method=method) for counts in blocks]
    return np.concatenate(drawn) if drawn else np.empty((0, x.shape[1]))


def jackknife_correlations(
    x: Floats, y: Floats, z: Floats, *, groups: Groups | None = None, method: str = "pearson"
) -> Floats:
    """Correlations with one image left out at a time, shape (images, measures)."""
    blocks = leave_one_out_counts(len(y))
    drawn = [weighted_correlations(counts, x, y, z, groups=groups, method=method) for counts in blocks]
    return np.concatenate(drawn)


def is_constant(values: Floats) -> bool:
    """Whether finite values are all the same, but for what rounding makes of them.

    Examples
    --------
    >>> is_constant(np.array([0.3, 0.1 + 0.2])), is_constant(np.array([0.3, 0.3001]))
    (True, False)
    """
    known = values[np.isfinite(values)]
    return bool(known.size and np.ptp(known) <= max(_SAME * np.abs(known).max(), _SAME_AS_ZERO))
