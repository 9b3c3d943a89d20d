"""Reliability of a measure over repeats, such as the reconstruction error over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distspc.kernels.statistics.correlations import Floats


@dataclass(frozen=True)
class Reliability:
    """How far repeats agree on which images are high and which are low."""

    icc: float
    """Intraclass correlation ICC(3,1): share of one repeat's variance that repeats have in common."""
    mean_icc: float
    """ICC(3,k): reliability of the mean over the k repeats, by Spearman and Brown's formula."""
    n_repeats: int
    n_images: int


def seed_reliability(errors: np.ndarray) -> Reliability:
    """Intraclass correlation of a measure over seeds, and the reliability of its mean over them.

    With mean squares MS of a two-way layout (images x seeds, no replication),
    ``ICC(3,1) = (MS_images - MS_residual) / (MS_images + (k - 1) MS_residual)``: consistency of single seeds, a shift
    of a whole seed left aside because correlations with scores do not see it (Shrout & Fleiss, 1979, doi
    10.1037/0033-2909.86.2.420). The mean of k seeds has reliability ``k ICC / (1 + (k - 1) ICC)`` (Spearman, 1910;
    Brown, 1910).

    Parameters
    ----------
    errors
        The measure (seed, image); images with a NaN in any seed are left out.

    Raises
    ------
    ValueError
        If there are fewer than two seeds or two images.

    Examples
    --------
    >>> round(seed_reliability(np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 5.0]])).icc, 3)
    0.945
    """
    errors = np.asarray(errors, dtype=np.float64)
    errors = errors[:, ~np.isnan(errors).any(axis=0)] if errors.ndim == 2 else errors
    if errors.ndim != 2 or min(errors.shape) < 2:
        raise ValueError(
            f"reliability needs the measure of at least 2 seeds for at least 2 images; got an array of {errors.shape} "
            "(seed, image) without missing values"
        )
    k, n = errors.shape
    centred = errors - errors.mean()
    of_images, of_seeds = centred.mean(axis=0), centred.mean(axis=1, keepdims=True)
    ms_images = k * float(np.sum(of_images**2)) / (n - 1)
    ms_residual = float(np.sum((centred - of_images - of_seeds) ** 2)) / ((n - 1) * (k - 1))
    total = ms_images + (k - 1) * ms_residual
    icc = (ms_images - ms_residual) / total if total > 0 else float("nan")
    mean_icc = (ms_images - ms_residual) / ms_images if ms_images > 0 else float("nan")
    return Reliability(icc, mean_icc, k, n)


def mean_correlation(repeats: Floats) -> float:
    """Mean Pearson correlation between the columns of (images, repeats): the reliability of a single repeat."""
    n = repeats.shape[1]
    if n < 2:
        return float("nan")
    table = np.asarray(np.corrcoef(repeats, rowvar=False))
    return float(table[np.triu_indices(n, 1)].mean())


def spearman_brown(reliability: float, n_repeats: float) -> float:
    """Reliability of the mean of `n_repeats` repeats, each of the given reliability; minus infinity at its pole.

    Two repeats that are exactly opposite have a mean that is the same for all.

    Examples
    --------
    >>> spearman_brown(0.5, 2)
    0.6666666666666666
    """
    below = 1 + (n_repeats - 1) * reliability
    return n_repeats * reliability / below if below else -math.inf


def attenuation_ceiling(reliabilities: Sequence[float]) -> float:
    """Largest correlation that two noisy variables can reach: the root of the product of their reliabilities.

    Unknown reliabilities (NaN) count as 1, so that the ceiling is then an upper bound.
    Source: Spearman (1904), The proof and measurement of association between two things, Am. J. Psychol. 15, 72-101.
    """
    known = np.asarray(reliabilities, dtype=float)
    known = np.clip(known[~np.isnan(known)], 0.0, 1.0)
    return float(np.sqrt(np.prod(known))) if known.size else float("nan")
