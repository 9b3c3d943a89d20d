"""Correlations within groups of images, and their meta-analytic mean: NumPy in, NumPy out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from distspc.kernels.statistics.correlations import Floats, is_constant

FEWEST = 4
"""Images under which Fisher's z of a correlation has no variance."""


class MeanCorrelation(NamedTuple):
    """Meta-analytic mean of independent correlations, and how far these differ."""

    r: float
    ci_low: float
    ci_high: float
    p: float
    q: float
    q_p: float
    i2: float
    n: int
    n_groups: int


def fisher_interval(r: Floats, n: Floats, *, level: float = 0.95) -> Floats:
    """Interval of Pearson correlations by Fisher's z, shape (2, correlations); NaN below 4 images and at r of 1 or -1.

    Notes
    -----
    Fisher (1921), On the "probable error" of a coefficient of correlation, Metron 1, 3-32: atanh(r) has the standard
    error 1 / sqrt(n - 3).
    """
    r, n = np.asarray(r, dtype=float), np.asarray(n, dtype=float)
    known = (n >= FEWEST) & (np.abs(r) < 1)
    z = np.arctanh(np.where(known, r, np.nan))
    step = special.ndtri((1 + level) / 2) / np.sqrt(np.where(known, n - 3, np.nan))
    return np.tanh(np.stack([z - step, z + step]))


def mean_correlation(r: Floats, n: Floats) -> MeanCorrelation:
    """Mean of correlations by Fisher's z, each weighted by n - 3 (fixed effect), with Cochran's Q and I^2.

    Parameters
    ----------
    r
        Correlations of groups of different images; those that are NaN or of fewer than 4 images do not count.
    n
        Their numbers of images.

    Returns
    -------
    MeanCorrelation
        ``r`` with its 95 % interval and two-tailed p (of r = 0), ``q`` and ``q_p`` (of one correlation for all
        groups), ``i2`` (share of the differences between groups beyond chance, 0 to 1; NaN for a single group), and
        the numbers of images and groups.

    Notes
    -----
    Hedges and Olkin (1985), Statistical Methods for Meta-Analysis, chapter 11; I^2 of Higgins and Thompson (2002),
    Statistics in Medicine 21, 1539-1558, doi 10.1002/sim.1186. A correlation of 1 or -1 counts as the next number.
    """
    r, n = np.asarray(r, dtype=float), np.asarray(n, dtype=float)
    known = np.isfinite(r) & (n >= FEWEST)
    if not known.any():
        return MeanCorrelation(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 0, 0)
    limit = np.nextafter(1.0, 0.0)
    z, weight = np.arctanh(np.clip(r[known], -limit, limit)), n[known] - 3
    mean, error = float(np.sum(weight * z) / weight.sum()), float(1 / np.sqrt(weight.sum()))
    step = special.ndtri(0.975) * error
    low, high = np.tanh([mean - step, mean + step])
    q, free = float(np.sum(weight * (z - mean) ** 2)), int(known.sum()) - 1
    q_p = float(special.chdtrc(free, q)) if free else float("nan")
    i2 = (max(0.0, 1 - free / q) if q > 0 else 0.0) if free else float("nan")
    p = float(2 * special.ndtr(-abs(mean / error)))
    return MeanCorrelation(float(np.tanh(mean)), float(low), float(high), p, q, q_p, i2, int(n[known].sum()), free + 1)


def pairwise_correlations(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Pearson's r of every column of x with every column of y over the rows that have both, and how many have.

    Returns
    -------
    r, n : ndarray, shape (columns of x, columns of y)
        NaN where a column is constant there, or fewer than 3 rows have both.
    """
    there_x, there_y = np.isfinite(x), np.isfinite(y)
    n = there_x.T.astype(float) @ there_y
    r = np.full(n.shape, np.nan)
    for i, j in np.argwhere(n >= 3):
        both = there_x[:, i] & there_y[:, j]
        r[i, j] = _correlation(x[both, i], y[both, j])
    return r, n


def _correlation(x: Floats, y: Floats) -> float:
    if is_constant(x) or is_constant(y):
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1))
