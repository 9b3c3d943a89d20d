"""Tests of: correlations of the columns of any table: measures of images with scores, partial, compared, joint."""

import doctest

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from distspc.errors import InputError
from distspc.kernels.statistics import correlations as statistics
from distspc.kernels.statistics import inference
from distspc.memorability import correlation
from tests.memorability.shared import frame_of


def test_two_measures_of_one_score_are_compared():
    frame = frame_of(200)
    row = correlation.compare_correlations(frame, "m3", "m0", "corrected_hit", n_bootstrap=300).iloc[0]
    assert row["difference"] == pytest.approx(row["r_first"] - row["r_second"])
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert row["ci_low"] > 0
    assert max(row["williams_p"], row["meng_p"]) < 0.001
    swapped = correlation.compare_correlations(frame, "m0", "m3", "corrected_hit", n_bootstrap=300).iloc[0]
    assert swapped["williams_t"] == pytest.approx(-row["williams_t"])


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_three_images_have_no_correlation_and_four_have(method):
    with pytest.raises(InputError, match="m1, corrected_hit: only 3 of 3 images have all values; at least 4"):
        correlation.correlate(frame_of(3), ["m1"], method=method, n_bootstrap=10)
    assert correlation.correlate(frame_of(4), ["m1"], method=method, n_bootstrap=10)["n"][0] == 4


def test_controls_take_degrees_of_freedom():
    """Against ordinary least squares, where the t of a coefficient is that of the partial correlation."""
    frame = frame_of(12)
    found = correlation.correlate(frame, ["m1"], given=["m0", "m2"], n_bootstrap=10).iloc[0]
    fit = sm.OLS(frame["corrected_hit"], sm.add_constant(frame[["m1", "m0", "m2"]])).fit()
    assert found["p_t"] == pytest.approx(fit.pvalues["m1"])


def test_the_interval_of_rank_correlations_is_accelerated_by_those_of_ranks():
    frame = frame_of(15)
    frame.loc[3, "m2"] = 1e4  # an image that is far off has one rank, and all of Pearson's leverage
    found = correlation.correlate(frame, ["m2"], method="spearman", n_bootstrap=400, interval="bca").iloc[0]
    ranked = frame.rank()
    x, y, z = ranked[["m2"]].to_numpy(), ranked["corrected_hit"].to_numpy(), np.empty((15, 0))
    draws = statistics.bootstrap_correlations(x, y, z, method="spearman", n_bootstrap=400)
    jackknife = statistics.jackknife_correlations(x, y, z, method="spearman")
    expected = inference.bca_interval(np.array([stats.spearmanr(x[:, 0], y)[0]]), draws, jackknife)[:, 0]
    assert [found["ci_low"], found["ci_high"]] == pytest.approx(expected)


def test_a_joint_model_explains_more_in_its_own_images():
    frame = frame_of(100)
    found = correlation.joint_model(frame, ["m0", "m1", "m2"], "corrected_hit")
    x = np.column_stack([np.ones(100), frame[["m0", "m1", "m2"]]])
    fit = x @ np.linalg.lstsq(x, frame["corrected_hit"], rcond=None)[0]
    expected = np.corrcoef(fit, frame["corrected_hit"])[0, 1] ** 2
    assert found["r2"] == pytest.approx(expected)
    assert found["r2_cv"] < found["r2_adjusted"] < found["r2"]
    assert found["p"] < 1e-6


def test_noise_predicts_nothing_new():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 21)), columns=[f"c{i}" for i in range(21)])
    found = correlation.joint_model(frame, [f"c{i}" for i in range(20)], "c20")
    assert found["r2"] > 0.2
    assert found["r2_cv"] < 0


def test_too_few_images_for_a_joint_model():
    found = correlation.joint_model(frame_of(10), ["m0", "m1", "m2", "m3"], "hit", n_folds=10)
    assert found["n"] == 10
    assert np.isfinite(found["r2"])
    found = correlation.joint_model(frame_of(6), ["m0", "m1", "m2", "m3"], "hit")
    assert np.isnan(found["r2"])


@pytest.mark.parametrize("module", [correlation, statistics])
def test_examples_in_docstrings(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
