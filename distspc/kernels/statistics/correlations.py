"""Correlations, their bootstrap and what goes with them: NumPy in, NumPy out.

A resample of images is a row of counts (how often each image was drawn), so the moments of all resamples and all
measures are one matrix product, and nothing of size resamples x images x measures is ever built.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]

_BLOCK_NBYTES = 2**24  # of one (resamples, images) array of counts; a few such live at a time
_CACHE_NBYTES = 2**20  # of one (images, resamples) array of ranks
_SAME = 1e-10  # spread, relative to the largest value, under which values are the same but for rounding
_SAME_AS_ZERO = 1e-15  # spread that differences of rounded numbers near 1 leave where they are 0
_FLAT = 1e-12  # variance, relative to that of the whole sample, under which a resample counts as constant


class DependentTest(NamedTuple):
    """Comparison of two correlations that share a variable, in the same images."""

    difference: float
    williams_t: float
    williams_p: float
    meng_z: float
    meng_p: float


# ---------------------------------------------------------------------------------------------- resampling


def resample_counts(n: int, n_bootstrap: int, random_state: int | None) -> Iterator[Floats]:
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

    Yields
    ------
    ndarray, shape (resamples of this block, n)
        Each row sums to `n`.
    """
    rng = np.random.default_rng(random_state)
    size = max(1, _BLOCK_NBYTES // (8 * n))
    for start in range(0, n_bootstrap, size):
        rows = min(size, n_bootstrap - start)
        drawn = rng.integers(0, n, size=(rows, n))
        drawn += np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def leave_one_out_counts(n: int) -> Iterator[Floats]:
    """Blocks of rows of counts, row i without image i: the jackknife as resamples."""
    size = max(1, _BLOCK_NBYTES // (8 * n))
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


def _total(a: Floats, other: Floats) -> Floats:
    return np.asarray(np.einsum("nb,nb->b", a, other))


def _rank_moments(counts: Floats, x: Floats, y: Floats, z: Floats) -> _Moments:
    """Moments of Spearman's rho: every column is ranked anew in every resample. Counts are (n, b) here."""
    b, m, c = counts.shape[1], x.shape[1], z.shape[1]
    ry = _centred_ranks(counts, y)
    rz = [_centred_ranks(counts, z[:, j]) for j in range(c)]
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
        rx = _centred_ranks(counts, x[:, i])
        moments.xx[:, i] = _total(counts * rx, rx)
        moments.xy[:, i] = _total(wy, rx)
        for j in range(c):
            moments.xz[:, i, j] = _total(wz[j], rx)
    return moments


def _rank_correlations(counts: Floats, x: Floats, y: Floats, z: Floats) -> Floats:
    """Spearman's rho in groups of resamples that stay in the processor's cache."""
    b, n = counts.shape
    size = max(1, _CACHE_NBYTES // (8 * n))
    groups = [np.ascontiguousarray(counts[start : start + size].T) for start in range(0, b, size)]
    return np.concatenate([_ratio(_rank_moments(group, x, y, z), _FLAT * n**3) for group in groups])


def _standardised(columns: Floats) -> Floats:
    """Columns with mean 0 and standard deviation 1, so that sums of squares lose no digits."""
    centred = columns - columns.mean(axis=0)
    scale = centred.std(axis=0)
    return np.asarray(centred / np.where(scale > 0, scale, 1.0))


def weighted_correlations(counts: Floats, x: Floats, y: Floats, z: Floats, *, method: str = "pearson") -> Floats:
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
        Controls, shape (images, controls); no columns for a plain correlation.
    method
        ``"pearson"``, or ``"spearman"`` (ranks within each resample, ties share their mean rank).

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
        return _rank_correlations(counts, x, y, z)
    moments = _linear_moments(counts, _standardised(x), _standardised(y), _standardised(z))
    return _ratio(moments, _FLAT * len(y))


def correlations(x: Floats, y: Floats, z: Floats, *, method: str = "pearson") -> Floats:
    """Correlation of each measure with the score, given the controls, shape (measures,).

    See `weighted_correlations` for the shapes.
    """
    return np.asarray(weighted_correlations(np.ones((1, len(y))), x, y, z, method=method)[0])


def bootstrap_correlations(
    x: Floats, y: Floats, z: Floats, *, method: str = "pearson", n_bootstrap: int = 1000, random_state: int | None = 0
) -> Floats:
    """Correlations in bootstrap resamples of the images, shape (n_bootstrap, measures).

    An image is drawn with all its columns, so that measure, score and controls stay together.
    See `weighted_correlations` for the shapes.
    """
    blocks = resample_counts(len(y), n_bootstrap, random_state)
    drawn = [weighted_correlations(counts, x, y, z, method=method) for counts in blocks]
    return np.concatenate(drawn) if drawn else np.empty((0, x.shape[1]))


def jackknife_correlations(x: Floats, y: Floats, z: Floats, *, method: str = "pearson") -> Floats:
    """Correlations with one image left out at a time, shape (images, measures)."""
    blocks = leave_one_out_counts(len(y))
    return np.concatenate([weighted_correlations(counts, x, y, z, method=method) for counts in blocks])


def is_constant(values: Floats) -> bool:
    """Whether finite values are all the same, but for what rounding makes of them.

    Examples
    --------
    >>> is_constant(np.array([0.3, 0.1 + 0.2])), is_constant(np.array([0.3, 0.3001]))
    (True, False)
    """
    known = values[np.isfinite(values)]
    return bool(known.size and np.ptp(known) <= max(_SAME * np.abs(known).max(), _SAME_AS_ZERO))


# ---------------------------------------------------------------------------------------------- intervals, p

MAX_UNDEFINED = 0.05
"""Share of undefined resamples above which a bootstrap gives no interval and no p: those left are not a sample."""


def undefined_share(draws: Floats) -> Floats:
    """Share of the resamples in which each statistic is undefined, for draws (draws, statistics)."""
    return np.asarray(np.mean(~np.isfinite(draws), axis=0))


def percentile_interval(draws: Floats, *, level: float = 0.95) -> Floats:
    """Percentile interval of bootstrap draws (draws, statistics): shape (2, statistics)."""
    tail = 50 * (1 - level)
    finite = np.isfinite(draws).any(axis=0)
    interval = np.full((2, draws.shape[1]), np.nan)
    if finite.any():
        interval[:, finite] = np.nanpercentile(draws[:, finite], [tail, 100 - tail], axis=0)
    return interval


def bca_interval(estimate: Floats, draws: Floats, jackknife: Floats, *, level: float = 0.95) -> Floats:
    """Bias-corrected and accelerated interval, shape (2, statistics).

    Parameters
    ----------
    estimate
        The statistics of the sample, shape (statistics,).
    draws
        Of the bootstrap resamples, shape (resamples, statistics).
    jackknife
        With one image left out, shape (images, statistics).
    level
        Coverage.

    Notes
    -----
    Efron (1987), Better bootstrap confidence intervals, doi 10.1080/01621459.1987.10478410: the bias is the normal
    quantile of the share of draws below the estimate, the acceleration a sixth of the jackknife's skewness.
    """
    n = np.isfinite(draws).sum(axis=0)
    below = (draws < estimate).sum(axis=0) + (draws <= estimate).sum(axis=0)
    share = below / np.where(n > 0, 2 * n, np.nan)
    bias = stats.norm.ppf(share)
    deviation = jackknife.mean(axis=0) - jackknife
    acceleration = np.sum(deviation**3, axis=0) / (6 * np.sum(deviation**2, axis=0) ** 1.5)
    interval = np.full((2, len(estimate)), np.nan)
    for row, tail in enumerate(((1 - level) / 2, (1 + level) / 2)):
        shifted = bias + stats.norm.ppf(tail)
        where = stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))
        for column in np.flatnonzero(np.isfinite(where)):
            interval[row, column] = np.nanquantile(draws[:, column], where[column])
    return interval


def bootstrap_p(draws: Floats) -> Floats:
    """Two-tailed bootstrap p of each statistic: 2 min(share below 0, share above 0).

    It moves in steps of 2 / resamples: a value of 0 says "less than one step".
    """
    known = np.isfinite(draws)
    n = known.sum(axis=0)
    tail = np.minimum((draws < 0).sum(axis=0), (draws > 0).sum(axis=0))
    return np.asarray(2 * tail / np.where(n > 0, n, np.nan))


def t_test_p(r: ArrayLike, n: ArrayLike, n_controls: int = 0) -> Floats:
    """Two-tailed p of a (partial) correlation from Student's t with n - 2 - controls degrees of freedom."""
    r, free = np.asarray(r, dtype=float), np.asarray(n, dtype=float) - 2 - n_controls
    with np.errstate(divide="ignore", invalid="ignore"):
        t = r * np.sqrt(np.where(free > 0, free, np.nan) / (1 - r * r))
    return np.asarray(2 * stats.t.sf(np.abs(t), np.where(free > 0, free, np.nan)))


def holm(p: ArrayLike) -> Floats:
    """P values after Holm's step-down correction; NaNs stay NaN and are not counted as tests.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(2)
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p, dtype=float)
    adjusted, known = np.full(p.shape, np.nan), np.flatnonzero(np.isfinite(p))
    # Not statsmodels' multipletests, the oracle in the tests: it collects garbage at every call, which takes 0.2 s.
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted


# ---------------------------------------------------------------------------------------------- comparisons


def compare_dependent(r_first: float, r_second: float, r_between: float, n: int) -> DependentTest:
    """Compare the correlations of two measures of the same images with one score.

    Parameters
    ----------
    r_first, r_second
        Correlation of the first and of the second measure with the score.
    r_between
        Correlation of the two measures with each other.
    n
        Number of images.

    Returns
    -------
    DependentTest
        ``difference`` = r_first - r_second; Williams' t (n - 3 degrees of freedom) and the z of Meng, Rosenthal and
        Rubin, each with its two-tailed p; NaN where the two measures are the same.

    Notes
    -----
    Williams' t2 as in Steiger (1980), Tests for comparing elements of a correlation matrix, Psychological Bulletin
    87, 245-251; z as in Meng, Rosenthal and Rubin (1992), Comparing correlated correlation coefficients, ibid. 111,
    172-175.
    """
    difference = r_first - r_second
    determinant = 1 - r_first**2 - r_second**2 - r_between**2 + 2 * r_first * r_second * r_between
    mean = (r_first + r_second) / 2
    spread = 2 * determinant * (n - 1) / (n - 3) + mean**2 * (1 - r_between) ** 3 if n > 3 else np.nan
    same = r_between >= 1 - 1e-12 or not spread > 0
    t = np.nan if same else difference * np.sqrt((n - 1) * (1 + r_between) / spread)
    z = np.nan if same else _meng(r_first, r_second, r_between, n)
    return DependentTest(
        difference, float(t), float(2 * stats.t.sf(abs(t), max(n - 3, 1))), float(z), float(2 * stats.norm.sf(abs(z)))
    )


def _meng(r_first: float, r_second: float, r_between: float, n: int) -> float:
    """Return z of the difference of the two Fisher-transformed correlations."""
    square = (r_first**2 + r_second**2) / 2
    if max(abs(r_first), abs(r_second)) >= 1 or n <= 3:
        return float("nan")
    f = min(1.0, (1 - r_between) / (2 * (1 - square)))
    h = (1 - f * square) / (1 - square)
    difference = np.arctanh(r_first) - np.arctanh(r_second)
    return float(difference * np.sqrt((n - 3) / (2 * (1 - r_between) * h)))


# ---------------------------------------------------------------------------------------------- reliability


def mean_correlation(repeats: Floats) -> float:
    """Mean Pearson correlation between the columns of (images, repeats): the reliability of a single repeat."""
    n = repeats.shape[1]
    if n < 2:
        return float("nan")
    table = np.asarray(np.corrcoef(repeats, rowvar=False))
    return float(table[np.triu_indices(n, 1)].mean())


def spearman_brown(reliability: float, n_repeats: float) -> float:
    """Reliability of the mean of `n_repeats` repeats, each of the given reliability.

    Examples
    --------
    >>> spearman_brown(0.5, 2)
    0.6666666666666666
    """
    return n_repeats * reliability / (1 + (n_repeats - 1) * reliability)


def attenuation_ceiling(reliabilities: Sequence[float]) -> float:
    """Largest correlation that two noisy variables can reach: the root of the product of their reliabilities.

    Unknown reliabilities (NaN) count as 1, so that the ceiling is then an upper bound.
    Source: Spearman (1904), The proof and measurement of association between two things, Am. J. Psychol. 15, 72-101.
    """
    known = np.asarray(reliabilities, dtype=float)
    known = np.clip(known[np.isfinite(known)], 0.0, 1.0)
    return float(np.sqrt(np.prod(known))) if known.size else float("nan")
