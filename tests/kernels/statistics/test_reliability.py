"""Reliability over repeats."""

from __future__ import annotations

import numpy as np
import pytest

from distspc.kernels.statistics import reliability
from distspc.kernels.statistics.reliability import seed_reliability


def test_reliability_is_that_of_shrout_and_fleiss():
    # Their table 2: six targets, four judges; ICC(3,1) = .71, ICC(3,4) = .91.
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    found = seed_reliability(ratings.T)
    assert (round(found.icc, 2), round(found.mean_icc, 2)) == (0.71, 0.91)
    assert found.mean_icc == pytest.approx(4 * found.icc / (1 + 3 * found.icc))
    assert (found.n_repeats, found.n_images) == (4, 6)


def test_reliability_needs_two_seeds():
    with pytest.raises(ValueError, match="at least 2 seeds"):
        seed_reliability(np.ones((1, 5)))


def test_reliability_and_ceiling():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20000)
    repeats = truth[:, None] + rng.normal(size=(20000, 4))
    single = reliability.mean_correlation(repeats)
    assert single == pytest.approx(0.5, abs=0.02)
    of_mean = np.corrcoef(repeats.mean(axis=1), truth)[0, 1] ** 2
    assert reliability.spearman_brown(single, 4) == pytest.approx(of_mean, abs=0.02)
    assert np.isnan(reliability.mean_correlation(repeats[:, :1]))
    assert reliability.attenuation_ceiling([0.81, 0.64]) == pytest.approx(0.72)
    assert reliability.attenuation_ceiling([0.81, np.nan]) == pytest.approx(0.9)
    assert np.isnan(reliability.attenuation_ceiling([np.nan]))


def test_repeats_that_are_exactly_opposite_have_a_ceiling_of_0():
    assert reliability.spearman_brown(-1.0, 2) == -np.inf
    assert reliability.attenuation_ceiling([-np.inf, 0.9]) == 0


def test_images_that_a_seed_lacks_are_left_out():
    errors = np.random.default_rng(0).random((3, 9))
    whole = seed_reliability(errors[:, 1:])
    errors[1, 0] = np.nan
    assert seed_reliability(errors) == whole


def test_a_shift_of_a_whole_seed_does_not_count():
    errors = np.random.default_rng(0).random((3, 9))
    shifted = errors + np.array([[0.0], [1.0], [5.0]])
    assert seed_reliability(shifted).icc == pytest.approx(seed_reliability(errors).icc)
