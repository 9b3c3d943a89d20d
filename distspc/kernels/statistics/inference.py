"""Intervals and tests of correlations."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special  # not scipy.stats, which takes half a second to import

from distspc.kernels.statistics.correlations import Floats


class DependentTest(NamedTuple):
    """Comparison of two correlations that share a variable, in the same images."""

    difference: float
    williams_t: float
    williams_p: float
    meng_z: float
    meng_p: float


# ---------------------------------------------------------------------------------------------- intervals, p

_SAME_DRAW = 1e-10
"""Distance of a draw from the estimate that is no more than rounding."""
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
    # A resample of every image once is the sample itself, but for rounding: it counts half.
    same = np.abs(draws - estimate) <= _SAME_DRAW
    below = 2 * ((draws < estimate) & ~same).sum(axis=0) + same.sum(axis=0)
    share = below / np.where(n > 0, 2 * n, np.nan)
    bias = special.ndtri(share)
    deviation = jackknife.mean(axis=0) - jackknife
    acceleration = np.sum(deviation**3, axis=0) / (6 * np.sum(deviation**2, axis=0) ** 1.5)
    interval = np.full((2, len(estimate)), np.nan)
    for row, tail in enumerate(((1 - level) / 2, (1 + level) / 2)):
        shifted = bias + special.ndtri(tail)
        where = special.ndtr(bias + shifted / (1 - acceleration * shifted))
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


def bootstrap_resolution(draws: Floats) -> Floats:
    """Step of the bootstrap p of each statistic: 2 over its number of defined resamples; NaN without any."""
    n = np.isfinite(draws).sum(axis=0)
    return np.asarray(2 / np.where(n > 0, n, np.nan))


def t_test_p(r: ArrayLike, n: ArrayLike, n_controls: int = 0) -> Floats:
    """Two-tailed p of a (partial) correlation from Student's t with n - 2 - controls degrees of freedom."""
    r, free = np.asarray(r, dtype=float), np.asarray(n, dtype=float) - 2 - n_controls
    with np.errstate(divide="ignore", invalid="ignore"):
        t = r * np.sqrt(np.where(free > 0, free, np.nan) / (1 - r * r))
    return np.asarray(2 * special.stdtr(np.where(free > 0, free, np.nan), -np.abs(t)))


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
        difference,
        float(t),
        float(2 * special.stdtr(max(n - 3, 1), -abs(t))),
        float(z),
        float(2 * special.ndtr(-abs(z))),
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
