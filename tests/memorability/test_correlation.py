"""Tests of: correlations of the columns of any table: measures of images with scores, partial, compared, joint."""

import doctest

import numpy as np
import pandas as pd
import pytest

from distspc.kernels.statistics import correlations as statistics
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
