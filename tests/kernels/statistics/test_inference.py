"""Intervals and tests against SciPy and statsmodels."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distspc.kernels.statistics import correlations as kernel
from distspc.kernels.statistics import inference
from tests.kernels.statistics.shared import sample


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


def test_measures_that_are_the_same_but_for_rounding_cannot_be_compared():
    names = ("williams_t", "williams_p", "meng_z", "meng_p")
    x, y = np.random.default_rng(3).normal(size=(2, 60))
    rescaled = np.corrcoef([x, x / 3 + 0.1, y])
    real = inference.compare_dependent(rescaled[0, 2], rescaled[1, 2], rescaled[0, 1], 60)
    built = inference.compare_dependent(0.4, 0.4 + 1e-9, 1 - 1e-13, 60)
    for found in (real, built):
        assert np.isnan([getattr(found, name) for name in names]).all()
    apart = inference.compare_dependent(0.4, 0.4 + 1e-9, 1 - 1e-11, 60)
    assert np.isfinite([getattr(apart, name) for name in names]).all()


def test_the_share_of_undefined_draws_is_counted_by_statistic():
    draws = np.array([[1.0, np.nan], [np.nan, np.nan], [0.0, 1.0], [2.0, 3.0]])
    assert inference.undefined_share(draws).tolist() == [0.25, 0.5]


def test_a_draw_that_is_the_sample_but_for_rounding_is_neither_above_nor_below_it():
    """Of few images many resamples hold every image once: their sums are added up in another order."""
    estimate, jackknife = np.array([0.5]), np.array([[0.4], [0.55], [0.52], [0.47]])
    others = np.linspace(0.1, 0.9, 40)
    exactly = np.concatenate([others, np.full(20, 0.5)])[:, None]
    rounded = np.concatenate([others, np.full(20, 0.5 - 3e-16)])[:, None]
    expected = inference.bca_interval(estimate, exactly, jackknife)
    np.testing.assert_allclose(inference.bca_interval(estimate, rounded, jackknife), expected, atol=1e-12)
    moved = np.concatenate([others, np.full(20, 0.5 - 1e-6)])[:, None]
    assert np.abs(inference.bca_interval(estimate, moved, jackknife) - expected).max() > 0.05
