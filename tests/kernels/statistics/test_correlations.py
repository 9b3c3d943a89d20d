"""Correlations and their resamples against SciPy and slow, literal loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distspc.kernels.statistics import correlations as kernel
from tests.kernels.statistics.shared import sample


def residuals(column, z):
    design = np.column_stack([np.ones(len(column)), z])
    return column - design @ np.linalg.lstsq(design, column, rcond=None)[0]


def slow_correlation(x, y, z, method):
    """Rank if asked, regress both on the controls, correlate the residuals."""
    if method == "spearman":
        x, y = stats.rankdata(x), stats.rankdata(y)
        z = np.column_stack([stats.rankdata(column) for column in z.T]) if z.shape[1] else z
    return stats.pearsonr(residuals(x, z), residuals(y, z))[0]


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize("n_controls", [0, 1, 3])
@pytest.mark.parametrize("ties", [False, True])
def test_correlations_are_those_of_residuals(method, n_controls, ties):
    x, y, z = sample(c=n_controls, ties=ties)
    found = kernel.correlations(x, y, z, method=method)
    expected = [slow_correlation(x[:, j], y, z, method) for j in range(x.shape[1])]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_plain_correlations_are_scipys():
    x, y, z = sample(c=0)
    np.testing.assert_allclose(kernel.correlations(x, y, z)[1], stats.pearsonr(x[:, 1], y)[0], atol=1e-13)
    found = kernel.correlations(x, y, z, method="spearman")[1]
    np.testing.assert_allclose(found, stats.spearmanr(x[:, 1], y)[0], atol=1e-13)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize("n_controls", [0, 2])
def test_a_bootstrap_draw_is_the_correlation_of_the_resampled_rows(method, n_controls):
    x, y, z = sample(n=30, c=n_controls, ties=True)
    draws = kernel.bootstrap_correlations(x, y, z, method=method, n_bootstrap=20, random_state=5)
    rows = np.random.default_rng(5).integers(0, 30, size=(20, 30))
    for draw, row in zip(draws, rows, strict=True):
        expected = [slow_correlation(x[row, j], y[row], z[row], method) for j in range(3)]
        np.testing.assert_allclose(draw, expected, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 4000), n=st.integers(2, 30), n_bootstrap=st.integers(1, 50))
def test_resamples_do_not_depend_on_the_size_of_blocks(size, n, n_bootstrap):
    whole = np.concatenate(list(kernel.resample_counts(n, n_bootstrap, 3)))
    pieces = np.concatenate(list(kernel.resample_counts(n, n_bootstrap, 3, block_nbytes=size)))
    np.testing.assert_array_equal(pieces, whole)
    assert whole.shape == (n_bootstrap, n)
    assert (whole.sum(axis=1) == n).all()


def test_spearman_does_not_depend_on_the_size_of_groups():
    x, y, z = sample(c=1)
    (counts,) = kernel.resample_counts(40, 50, 0)
    whole = kernel.weighted_correlations(counts, x, y, z, method="spearman")
    pieces = kernel.weighted_correlations(counts, x, y, z, method="spearman", cache_nbytes=8 * 40 * 3)
    np.testing.assert_allclose(pieces, whole, atol=1e-14)


def test_a_measure_far_from_zero_keeps_its_digits():
    x, y, z = sample(c=1)
    moved = kernel.bootstrap_correlations(x * 1e-3 + 1e6, y, z + 1e7, n_bootstrap=50)
    np.testing.assert_allclose(moved, kernel.bootstrap_correlations(x, y, z, n_bootstrap=50), atol=1e-5)


def test_the_jackknife_leaves_one_image_out():
    x, y, z = sample(n=12)
    for i, found in enumerate(kernel.jackknife_correlations(x, y, z)):
        kept = np.arange(12) != i
        np.testing.assert_allclose(found, kernel.correlations(x[kept], y[kept], z[kept]), atol=1e-12)


def test_what_does_not_vary_has_no_correlation():
    x, y, z = sample(c=0)
    x[:, 1] = 7.0
    assert np.isnan(kernel.correlations(x, y, z)[1])
    assert np.isnan(kernel.correlations(x, y, z, method="spearman")[1])
    assert np.isnan(kernel.correlations(x, np.ones(40), z)).all()


def test_a_control_that_explains_everything_leaves_nothing():
    x, y, _ = sample(c=0)
    assert np.isnan(kernel.correlations(x[:, :1], y, x[:, :1] * 2 + 1)[0])


def test_controls_that_say_the_same_count_once():
    x, y, z = sample(c=1)
    twice = np.column_stack([z, z])
    np.testing.assert_allclose(kernel.correlations(x, y, twice), kernel.correlations(x, y, z), atol=1e-10)


def test_what_is_the_same_but_for_rounding_is_constant():
    assert kernel.is_constant(np.array([0.3, 0.1 + 0.2, np.nan]))
    assert not kernel.is_constant(np.array([0.3, 0.3001]))
    assert not kernel.is_constant(np.full(3, np.nan))


def test_a_resample_of_images_that_are_the_same_has_no_correlation_but_for_rounding():
    """Sums of squares less squares of sums leave something of either sign."""
    counts = np.zeros((1, 6))
    counts[0, :3] = 1, 3, 2
    for seed in range(40):
        x, y = np.random.default_rng(seed).random((2, 6))
        x[:3] = x[0]
        assert np.isnan(kernel.weighted_correlations(counts, x[:, None], y, np.empty((6, 0)))).all()
        assert np.isnan(kernel.weighted_correlations(counts, y[:, None], x, np.empty((6, 0)))).all()


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e9])
def test_constant_but_for_rounding_is_relative_to_the_largest_value(size):
    assert kernel.is_constant(size * np.array([1.0, 1 + 5e-11, 1 - 3e-11]))
    assert not kernel.is_constant(size * np.array([1.0, 1 + 2e-10]))


def test_differences_of_numbers_near_1_are_zeros_but_for_rounding():
    assert kernel.is_constant(np.array([0.0, 0.3 - 0.1 - 0.2, 0.7 - 0.1 * 7]))
    assert kernel.is_constant(np.array([0.0, 9e-16]))
    assert not kernel.is_constant(np.array([0.0, 2e-15]))


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_a_perfect_correlation_is_not_beyond_1(method):
    """Of products of rounded sums the share of one that is larger than 1 is some tenth."""
    rng = np.random.default_rng(0)
    for n in (5, 12, 40):
        x = rng.random((n, 200))
        y, z = rng.random(n), rng.random((n, 1))
        lines = y[:, None] * (1 + x[:1]) + x[1:2]  # each a line of the score
        for controls in (np.empty((n, 0)), z):
            draws = kernel.bootstrap_correlations(lines, y, controls, method=method, n_bootstrap=20)
            known = draws[np.isfinite(draws)]
            assert known.size > 1000
            assert np.abs(known).max() <= 1
            np.testing.assert_allclose(known, 1, atol=1e-7)
