"""Correlations within categories, and mixed models against statsmodels' formulas and a known effect."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import mixedlm

from distspc.memorability.within import correlations_within, mixed_models


def simulated(n_categories=12, n_each=25, seed=0, between=1.0):
    """Within categories the score rises with the measure by 0.5; between them it falls."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=n_categories)
    category = np.repeat(np.arange(n_categories), n_each)
    x = 2 * level[category] + rng.normal(size=category.size)
    y = 0.5 * (x - 2 * level[category]) - between * 3 * level[category] + rng.normal(size=category.size)
    labels = pd.Series([f"c{i:02d}" for i in category], name="category")
    return pd.DataFrame({"x": x, "z": rng.normal(size=category.size), "y": y}), labels


def test_correlations_within_categories_are_not_those_between():
    frame, labels = simulated()
    within, means, said = correlations_within(frame, ["x", "z"], ["y"], labels)
    assert np.corrcoef(frame["x"], frame["y"])[0, 1] < -0.5
    row = means[means["measure"] == "x"].iloc[0]
    assert row["r"] == pytest.approx(0.5 / np.sqrt(1.25), abs=0.1)
    assert row["ci_low"] < 0.5 / np.sqrt(1.25) < row["ci_high"]
    assert (row["n_categories"], row["n"]) == (12, 300)
    assert len(within) == 24
    part = frame[labels == "c03"]
    own = within[(within["category"] == "c03") & (within["measure"] == "x")].iloc[0]
    assert own["r"] == pytest.approx(part["x"].corr(part["y"]))
    assert said == []


def test_categories_that_are_too_small_are_named_and_left_out():
    frame, labels = simulated(3, 6)
    labels[:3] = "tiny"
    labels[5] = None
    within, means, said = correlations_within(frame, ["x"], ["y"], labels)
    assert set(within["category"]) == {"c01", "c02"}
    assert means["n_categories"].tolist() == [2]
    assert [notice.text for notice in said] == [
        "Within category: no correlation of their own for 2 with fewer than 4 images: tiny, c00.",
        "Within category: 1 of 18 images has no category: left out.",
    ]
    none, no_means, _ = correlations_within(frame.iloc[:3], ["x"], ["y"], labels.iloc[:3])
    assert none.empty
    assert no_means.empty


def test_a_category_counts_where_four_of_its_images_have_both():
    frame, labels = simulated(3, 6)
    frame.loc[:1, "x"] = np.nan
    frame.loc[6:8, "y"] = np.nan
    within, means, _ = correlations_within(frame, ["x", "z"], ["y"], labels)
    counts = {name: part["n"].to_dict() for name, part in within.set_index("category").groupby("measure")}
    assert counts == {"x": {"c00": 4, "c02": 6}, "z": {"c00": 6, "c02": 6}}
    assert means.set_index("measure")["n_categories"].to_dict() == {"x": 2, "z": 2}


def test_images_without_a_value_are_left_out_of_a_mixed_model_with_their_labels():
    frame, labels = simulated(4, 8)
    kept = np.arange(len(frame)) % 8 > 2
    expected = mixed_models(frame[kept], ["x"], ["y"], labels[kept])[0]
    pd.testing.assert_frame_equal(
        mixed_models(frame.assign(x=frame["x"].where(kept)), ["x"], ["y"], labels)[0], expected
    )


def test_mixed_models_are_statsmodels():
    frame, labels = simulated()
    table, said = mixed_models(frame, ["x"], ["y"], labels, ["z"])
    standard = ((frame - frame.mean()) / frame.std()).assign(category=labels)
    known = mixedlm("y ~ x + z", standard, groups="category").fit()
    row = table.iloc[0]
    assert row["coefficient"] == pytest.approx(known.params["x"], abs=1e-4)
    np.testing.assert_allclose(row[["ci_low", "ci_high"]].astype(float), known.conf_int().loc["x"], atol=1e-3)
    assert row["p"] == pytest.approx(known.pvalues["x"], abs=1e-6)
    assert row["coefficient"] == pytest.approx(0.5 * frame["x"].std() / frame["y"].std(), abs=0.08)
    assert (row["n"], row["n_categories"], row["given"], row["converged"]) == (300, 12, "z", True)
    assert row["icc"] > 0.8
    assert said == []


def test_no_variance_between_categories_is_said_and_is_no_failure():
    frame, labels = simulated(4, 10, between=0)
    frame["y"] -= frame["y"].groupby(labels).transform("mean")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table, said = mixed_models(frame, ["z"], ["y"], labels)
    assert table["icc"].iloc[0] < 0.05
    assert [notice.warning for notice in said] == [False]
    assert "In 1 of 1 mixed model the categories' intercepts have no variance" in said[0].text


def test_categories_that_do_not_repeat_have_no_mixed_model():
    frame, _ = simulated(2, 5)
    table, said = mixed_models(frame, ["x"], ["y"], pd.Series([f"i{i}" for i in range(10)], name="kind"))
    assert table.empty
    assert said[0].text == "No mixed model: fewer than 2 of 10 values of kind have more than one image."


def test_a_model_that_cannot_be_fitted_is_named():
    frame, labels = simulated(3, 4)
    table, said = mixed_models(frame.assign(copy=frame["x"]), ["x"], ["y"], labels, ["copy"])
    assert not table["converged"].iloc[0]
    assert np.isnan(table["coefficient"].iloc[0])
    assert said[0].warning
    assert "1 of 1 mixed model did not converge: do not use the coefficients of x with y." in said[0].text


# Distances (mm) from the pituitary to the pterygomaxillary fissure of 16 boys and 11 girls at 8, 10, 12 and 14 years:
# Potthoff and Roy (1964), Biometrika 51, 313-326; R's data set Orthodont.
ORTHODONT = """
26 25 29 31|21.5 22.5 23 26.5|23 22.5 24 27.5|25.5 27.5 26.5 27|20 23.5 22.5 26|24.5 25.5 27 28.5|22 22 24.5 26.5
24 21.5 24.5 25.5|23 20.5 31 26|27.5 28 31 31.5|23 23 23.5 25|21.5 23.5 24 28|17 24.5 26 29.5|22.5 25.5 25.5 26
23 24.5 26 30|22 21.5 23.5 25|21 20 21.5 23|21 21.5 24 25.5|20.5 24 24.5 26|23.5 24.5 25 26.5|21.5 23 22.5 23.5
20 21 21 22.5|21.5 22.5 23 25|23 23 23.5 24|20 21 22 21.5|16.5 19 19 19.5|24.5 25 28 28
"""


def test_mixed_models_are_those_of_pinheiro_and_bates():
    """Mixed-Effects Models in S and S-PLUS (2000), lme(distance ~ age, random = ~ 1 | Subject): 0.660185 (0.061606)."""
    children = [[float(n) for n in child.split()] for child in ORTHODONT.strip().replace("\n", "|").split("|")]
    frame = pd.DataFrame({"age": np.tile([8.0, 10, 12, 14], 27), "distance": np.ravel(children)})
    labels = pd.Series(np.repeat([f"child {i}" for i in range(27)], 4), name="child")
    row = mixed_models(frame, ["age"], ["distance"], labels)[0].iloc[0]
    unit = frame["distance"].std() / frame["age"].std()
    assert row["converged"]
    assert row["coefficient"] * unit == pytest.approx(0.660185, abs=1e-6)
    half = (row["ci_high"] - row["ci_low"]) / 2 / stats.norm.ppf(0.975)
    assert half * unit == pytest.approx(0.061606, abs=2e-6)
    assert row["icc"] == pytest.approx(2.114724**2 / (2.114724**2 + 1.431592**2), abs=1e-4)  # their standard deviations
