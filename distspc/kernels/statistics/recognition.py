"""Recognition memory: rates and d' of images from responses, and their split-half reliability over subjects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special  # not scipy.stats, which takes half a second to import

from distspc.kernels.statistics.correlations import Floats, resample_counts
from distspc.kernels.statistics.inference import percentile_interval
from distspc.kernels.statistics.reliability import spearman_brown

RATES = ("hit", "fa", "corrected_hit", "dprime")
"""Scores of recognition that have a reliability."""

HALVES = 1000
"""Random halves of the subjects."""

_HALVES_OF_INTERVAL = 100  # of these, in every resample of the images
_BLOCK_NBYTES = 2**25  # of one (images, halves) array


@dataclass(frozen=True)
class Counts:
    """Responses by image: how many to it when it was old and new, and how many of these were "old"."""

    hits: Floats
    n_old: Floats
    false_alarms: Floats
    n_new: Floats


def recognition_scores(counts: Counts) -> dict[str, Floats]:
    """Hit rate, false alarm rate, corrected hit rate and d' from counts of any shape.

    Parameters
    ----------
    counts
        Hits of `n_old` responses to old images, false alarms of `n_new` to new ones.

    Returns
    -------
    dict
        ``hit``, ``fa``, ``corrected_hit`` = hit - fa, and ``dprime`` with the log-linear correction,
        z((hits + 0.5) / (n_old + 1)) - z((false alarms + 0.5) / (n_new + 1)); NaN without the responses they need.

    Notes
    -----
    Hautus (1995), Corrections for extreme proportions and their biasing effects on estimated values of d', Behavior
    Research Methods, Instruments, & Computers 27, 46-51, doi 10.3758/BF03203619.

    Examples
    --------
    >>> found = recognition_scores(Counts(*map(np.array, ([9.0], [10.0], [2.0], [10.0]))))
    >>> {name: values.round(3).tolist() for name, values in found.items()}
    {'hit': [0.9], 'fa': [0.2], 'corrected_hit': [0.7], 'dprime': [1.845]}
    """
    old, new = (np.where(n > 0, n, np.nan) for n in (counts.n_old, counts.n_new))
    hit, fa = counts.hits / old, counts.false_alarms / new
    z_hit = special.ndtri((counts.hits + 0.5) / (old + 1))
    z_fa = special.ndtri((counts.false_alarms + 0.5) / (new + 1))
    return {"hit": hit, "fa": fa, "corrected_hit": hit - fa, "dprime": z_hit - z_fa}


class Trials(NamedTuple):
    """Responses one by one, numbered subjects and images: which image, old or new, and the response."""

    subject: np.ndarray
    image: np.ndarray
    old: np.ndarray
    response: np.ndarray


def count_responses(trials: Trials, n_images: int) -> Counts:
    """Count the responses of all subjects, each an array (images,)."""
    of_subjects = _by_subject(trials, n_images)
    return Counts(*(np.asarray(matrix.sum(axis=1), dtype=float).ravel() for matrix in of_subjects))


def _by_subject(trials: Trials, n_images: int) -> list:
    """Sparse matrices (images, subjects) in the order of `Counts`."""
    from scipy.sparse import csr_array

    n_subjects = int(trials.subject.max(initial=-1)) + 1
    old, response = trials.old.astype(bool), trials.response.astype(bool)
    found = []
    for which in (old & response, old, ~old & response, ~old):
        places = trials.image[which], trials.subject[which]
        found.append(csr_array((np.ones(int(which.sum())), places), shape=(n_images, n_subjects)))
    return found


# ---------------------------------------------------------------------------------------------- split halves


@dataclass(frozen=True)
class SplitHalf:
    """How far halves of the subjects agree on the scores of the images."""

    reliability: float
    """Of the scores of all subjects: Spearman-Brown of the mean correlation between halves."""
    ci_low: float
    ci_high: float
    """95 % interval over resamples of the images."""
    half_r: float
    """Mean correlation between the two halves."""
    half_sd: float
    """Its standard deviation over the random halves."""
    n_images: int
    """Images that have the score."""


def split_half(
    trials: Trials,
    n_images: int,
    *,
    n_halves: int = HALVES,
    n_bootstrap: int = 1000,
    random_state: int | None = 0,
    block_nbytes: int = _BLOCK_NBYTES,
) -> dict[str, SplitHalf]:
    """Split-half reliability of the scores of images over random halves of the subjects.

    In each split a random half of the subjects (one fewer where they are odd in number) and the others give every
    image a score; the two are correlated over the images that have both. The mean r over the splits goes through
    Spearman and Brown's formula for twice as many subjects: 2 r / (1 + r).

    Parameters
    ----------
    trials
        Responses, subjects and images numbered from 0.
    n_images
        Number of images.
    n_halves
        Number of splits.
    n_bootstrap
        Resamples of the images for the interval, each with the first hundred splits.
    random_state
        Seed of splits and resamples.
    block_nbytes
        Bytes of an array (images, splits); splits are worked on so many at a time. Results do not depend on it.

    Returns
    -------
    dict
        A `SplitHalf` for each of `RATES`; NaN where too few images have the score in both halves, or it is the same
        for all of them.

    Raises
    ------
    ValueError
        With fewer than 2 subjects.

    Notes
    -----
    Spearman (1910) and Brown (1910), British Journal of Psychology 3. Where every subject responds to every image,
    the reliability is the share of the variance of the scores that is between images.
    """
    matrices = _by_subject(trials, n_images)
    n_subjects = matrices[0].shape[1]
    if n_subjects < 2:
        raise ValueError(f"split halves need at least 2 subjects; there are {n_subjects}")
    halves = _random_halves(n_subjects, n_halves, random_state)
    kept = min(n_halves, _HALVES_OF_INTERVAL)
    r: dict[str, list[Floats]] = {name: [] for name in RATES}
    first: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in RATES}
    size = max(1, block_nbytes // (8 * max(n_images, 1)))
    for start in range(0, n_halves, size):
        one, other = (
            _half_scores(matrices, part) for part in (halves[:, start : start + size], ~halves[:, start : start + size])
        )
        for name in RATES:
            r[name].append(column_correlations(one[name], other[name]))
            if start < kept:
                first[name].append((one[name][:, : kept - start], other[name][:, : kept - start]))
    whole = recognition_scores(count_responses(trials, n_images))
    found = {}
    for name in RATES:
        pairs = [np.concatenate(sides, axis=1) for sides in zip(*first[name], strict=True)]
        interval = _interval(pairs[0], pairs[1], n_bootstrap, random_state)
        found[name] = _summary(np.concatenate(r[name]), interval, int(np.isfinite(whole[name]).sum()))
    return found


def _random_halves(n_subjects: int, n_halves: int, random_state: int | None) -> np.ndarray:
    """Which subjects are in the first half, bool (subjects, halves)."""
    rng = np.random.default_rng(random_state)
    order = rng.permuted(np.tile(np.arange(n_subjects), (n_halves, 1)), axis=1)
    return np.asarray((order < n_subjects // 2).T)


def _half_scores(matrices: list, half: np.ndarray) -> dict[str, Floats]:
    """Scores of every image in some halves, each (images, halves)."""
    return recognition_scores(Counts(*(np.asarray(matrix @ half.astype(float)) for matrix in matrices)))


def column_correlations(x: Floats, y: Floats) -> Floats:
    """Pearson's r of each column of x with that of y over the rows that have both, (columns,); NaN if constant."""
    return np.asarray(_weighted(*_known(x, y), np.ones((1, len(x))))[0])


def _known(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Columns less their mean, 0 where one is missing, and where both are there."""
    there = np.isfinite(x) & np.isfinite(y)
    n = np.maximum(there.sum(axis=0), 1)
    x, y = (np.where(there, values, 0.0) for values in (x, y))
    return (x - x.sum(axis=0) / n) * there, (y - y.sum(axis=0) / n) * there, there.astype(float)


def _weighted(x: Floats, y: Floats, there: Floats, counts: Floats) -> Floats:
    """Correlations of columns in resamples: (resamples, columns)."""
    n = counts @ there
    n = np.where(n > 2, n, np.nan)
    sx, sy = counts @ x, counts @ y
    xx, yy, xy = counts @ (x * x) - sx * sx / n, counts @ (y * y) - sy * sy / n, counts @ (x * y) - sx * sy / n
    varies = (xx > 1e-12 * n) & (yy > 1e-12 * n)
    return np.asarray(xy / np.sqrt(np.where(varies, xx * yy, np.nan)))


def _interval(x: Floats, y: Floats, n_bootstrap: int, random_state: int | None) -> Floats:
    """Interval of the reliability over resamples of the images."""
    known = _known(x, y)
    draws = [
        np.mean(_weighted(*known, counts), axis=1) for counts in resample_counts(len(x), n_bootstrap, random_state)
    ]
    mean = np.concatenate(draws)[:, None]
    mean[mean <= -1] = np.nan  # of halves that are exactly opposite
    return np.asarray(percentile_interval(2 * mean / (1 + mean))[:, 0])


def _summary(r: Floats, interval: Floats, n_images: int) -> SplitHalf:
    known = r[np.isfinite(r)]
    if not known.size:
        return SplitHalf(np.nan, np.nan, np.nan, np.nan, np.nan, n_images)
    mean = float(known.mean())
    low, high = map(float, interval)
    return SplitHalf(spearman_brown(mean, 2), low, high, mean, float(known.std()), n_images)
