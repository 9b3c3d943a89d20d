"""The statistics against SciPy, statsmodels and slow, literal loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distspc.kernels.statistics import correlations as kernel
from distspc.kernels.statistics import inference, reliability


def sample(n=40, m=3, c=1, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, c))
    x = rng.normal(size=(n, m)) + z.sum(axis=1, keepdims=True)
    y = x[:, 0] - z.sum(axis=1) + rng.normal(size=n)
    if ties:
        x, y, z = np.round(x), np.round(y), np.round(z)
    return x, y, z


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


def test_percentile_interval_is_numpys_and_skips_undefined_draws():
    draws = np.random.default_rng(0).normal(size=(200, 2))
    expected = np.percentile(draws, [2.5, 97.5], axis=0)
    np.testing.assert_allclose(inference.percentile_interval(draws), expected)
    draws[:5, 1], undefined = np.nan, np.full((200, 1), np.nan)
    found = inference.percentile_interval(np.hstack([draws, undefined]))
    np.testing.assert_allclose(found[:, 1], np.percentile(draws[5:, 1], [2.5, 97.5]))
    assert np.isnan(found[:, 2]).all()


def test_bca_interval_is_scipys():
    x, y, z = sample(n=60, m=1, c=0, seed=3)
    draws = kernel.bootstrap_correlations(x, y, z, n_bootstrap=9999, random_state=1)
    found = inference.bca_interval(kernel.correlations(x, y, z), draws, kernel.jackknife_correlations(x, y, z))[:, 0]
    result = stats.bootstrap(
        (x[:, 0], y),
        lambda a, b, axis: stats.pearsonr(a, b, axis=axis).statistic,
        paired=True, vectorized=True, n_resamples=9999, method="BCa", rng=np.random.default_rng(2),
    )  # fmt: skip
    np.testing.assert_allclose(found, list(result.confidence_interval), atol=0.01)


def test_bootstrap_p_counts_draws_on_either_side():
    draws = np.array([[-1.0, 1.0, 0.5], [1.0, 2.0, np.nan], [1.0, 3.0, -0.5], [1.0, 4.0, 0.5]])
    np.testing.assert_allclose(inference.bootstrap_p(draws), [0.5, 0.0, 2 / 3])
    assert np.isnan(inference.bootstrap_p(np.full((4, 1), np.nan))).all()


def test_t_test_is_scipys_and_counts_controls():
    x, y, z = sample(c=2)
    plain = stats.pearsonr(x[:, 0], y)
    np.testing.assert_allclose(inference.t_test_p(plain[0], 40), plain[1])
    import statsmodels.api as sm

    r = kernel.correlations(x[:, :1], y, z)[0]
    fit = sm.OLS(y, sm.add_constant(np.column_stack([x[:, :1], z]))).fit()
    np.testing.assert_allclose(inference.t_test_p(r, 40, 2), fit.pvalues[1])
    assert np.isnan(inference.t_test_p(0.5, 2))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p):
    from statsmodels.stats.multitest import multipletests

    np.testing.assert_allclose(inference.holm(p), multipletests(p, method="holm")[1], atol=1e-12)


def test_holm_does_not_count_tests_that_were_not_made():
    np.testing.assert_allclose(inference.holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])


def test_dependent_correlations_against_worked_examples():
    # 15 students, r = .63 and -.03, -.19 between: z = 1.68 (Meng, Rosenthal and Rubin 1992).
    found = inference.compare_dependent(0.63, -0.03, -0.19, 15)
    assert round(found.meng_z, 2) == 1.68
    # 103 persons, r = .4 and .5, .1 between: t = -0.89, p = .37 (the case of Steiger 1980).
    found = inference.compare_dependent(0.4, 0.5, 0.1, 103)
    assert (round(found.williams_t, 2), round(found.williams_p, 2)) == (-0.89, 0.37)


def test_dependent_correlations_are_calibrated():
    rng = np.random.default_rng(0)
    common = rng.normal(size=(400, 80))
    first, second, score = (common + rng.normal(size=(400, 80)) for _ in range(3))
    tests = []
    for x, z, y in zip(first, second, score, strict=True):
        r = np.corrcoef([x, z, y])
        tests.append(inference.compare_dependent(r[0, 2], r[1, 2], r[0, 1], 80))
    for name in ("williams_p", "meng_p"):
        p = np.array([getattr(test, name) for test in tests])
        assert stats.kstest(p, "uniform").pvalue > 0.01


def test_the_same_measure_twice_cannot_be_compared():
    found = inference.compare_dependent(0.4, 0.4, 1.0, 50)
    assert found.difference == 0
    assert np.isnan([found.williams_t, found.williams_p, found.meng_z, found.meng_p]).all()
    assert np.isnan(inference.compare_dependent(0.4, 0.3, 0.5, 3).williams_t)


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
