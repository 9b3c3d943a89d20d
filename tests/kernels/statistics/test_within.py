"""Correlations within groups and their mean against SciPy, statsmodels and hand-computed values."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from distspc.kernels.statistics.within import fisher_interval, mean_correlation, pairwise_correlations

R, N = np.array([0.5, 0.1, -0.2, 0.35]), np.array([20, 103, 8, 50])


def test_intervals_are_scipys():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 30))
    y += x
    found = stats.pearsonr(x, y)
    low, high = fisher_interval(np.array([found.statistic]), np.array([30]))[:, 0]
    expected = found.confidence_interval(0.95)
    assert (low, high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert np.isnan(fisher_interval(np.array([0.5, 1.0, np.nan]), np.array([3, 9, 9]))).all()


def test_the_mean_is_that_of_statsmodels():
    found = mean_correlation(R, N)
    known = combine_effects(np.arctanh(R), 1 / (N - 3))
    mean = np.sum(np.arctanh(R) * (N - 3)) / np.sum(N - 3)
    assert found.r == pytest.approx(np.tanh(known.mean_effect_fe)) == pytest.approx(np.tanh(mean))
    step = stats.norm.ppf(0.975) / np.sqrt(np.sum(N - 3))
    assert (found.ci_low, found.ci_high) == (pytest.approx(np.tanh(mean - step)), pytest.approx(np.tanh(mean + step)))
    assert found.q == pytest.approx(known.q)
    assert found.q_p == pytest.approx(stats.chi2.sf(known.q, 3))
    assert found.i2 == pytest.approx(max(0, known.i2))
    assert found.p == pytest.approx(2 * stats.norm.sf(mean * np.sqrt(np.sum(N - 3))))
    assert (found.n, found.n_groups) == (181, 4)


def test_groups_too_small_or_without_a_correlation_do_not_count():
    more = mean_correlation(np.append(R, [0.9, np.nan]), np.append(N, [3, 40]))
    assert more == mean_correlation(R, N)
    alone = mean_correlation(R[:1], N[:1])
    assert alone.r == pytest.approx(0.5)
    assert np.isnan([alone.q_p, alone.i2]).all()
    assert mean_correlation(R[:0], N[:0]).n_groups == 0
    assert np.isnan(mean_correlation(R[:0], N[:0]).r)


def test_pairs_are_correlated_over_the_rows_that_have_both():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    x[:4, 0], y[2:6, 1], x[:, 2] = np.nan, np.nan, 5.0
    r, n = pairwise_correlations(x, y)
    assert n.tolist() == [[16, 14], [20, 16], [20, 16]]
    assert r[0, 1] == pytest.approx(stats.pearsonr(x[6:, 0], y[6:, 1])[0])
    assert np.isnan(r[2]).all()


def test_four_images_are_enough_for_a_group_and_three_for_a_pair():
    alone = mean_correlation(np.array([0.5]), np.array([4]))
    assert (alone.r, alone.n, alone.n_groups) == (pytest.approx(0.5), 4, 1)
    np.testing.assert_allclose(fisher_interval(np.array([0.5]), np.array([4]))[:, 0], [alone.ci_low, alone.ci_high])
    x = np.array([[1.0], [2], [4], [8]])
    y = np.array([[3.0, 3], [5, 5], [1, np.nan], [np.nan, np.nan]])
    r, n = pairwise_correlations(x, y)
    assert n.tolist() == [[3, 2]]
    assert r[0, 0] == pytest.approx(stats.pearsonr([1, 2, 4], [3, 5, 1])[0])
    assert np.isnan(r[0, 1])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_group_of_perfect_correlation_is_large_and_not_without_end(sign):
    """Its z is that of the number before 1: 18.7 by hand, atanh(1 - 2^-53) = log(2^54 - 1) / 2."""
    z = np.log(2.0**54) / 2
    found = mean_correlation(sign * np.array([1.0, 0.0]), np.array([4, 12]))
    assert found.r == pytest.approx(sign * np.tanh(z / 10))
    assert found.q == pytest.approx((z - z / 10) ** 2 + 9 * (z / 10) ** 2)
    alone = mean_correlation(np.array([float(sign)]), np.array([4]))
    assert alone.r == pytest.approx(sign, abs=1e-15)
    assert np.isfinite([alone.ci_low, alone.ci_high, alone.p]).all()
