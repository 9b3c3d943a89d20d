"""Controls: found by name in several tables, labels as fixed effects; partial correlations against statsmodels."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols

from distspc.errors import InputError
from distspc.memorability.controls import Design, check_controls, find_controls
from distspc.memorability.correlation import correlate, joint_model
from tests.memorability.shared import frame_of


def with_labels(n=80):
    rng = np.random.default_rng(3)
    frame = frame_of(n).assign(kind=rng.choice(["a", "b", "c", "d"], n), side=rng.choice(["left", "right"], n))
    return frame.assign(hit=frame["hit"] + frame["kind"].map({"a": 0, "b": 2, "c": -1, "d": 1}))


@pytest.mark.parametrize("given", [["kind"], ["kind", "m0"], ["m0", "side", "kind"]])
@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_labels_are_fixed_effects_as_in_statsmodels(given, method):
    frame = with_labels()
    row = correlate(frame, ["m2"], "hit", given, method, n_bootstrap=30).iloc[0]
    ranked = frame
    if method == "spearman":
        ranked = frame.assign(**{name: stats.rankdata(frame[name]) for name in ("m0", "m2", "hit")})
    formula = " + ".join(given)
    x, y = (ols(f"{name} ~ {formula}", ranked).fit().resid for name in ("m2", "hit"))
    assert row["r"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert row["p_t"] == pytest.approx(ols(f"hit ~ m2 + {formula}", ranked).fit().pvalues["m2"])
    assert row["given"] == ", ".join(given)
    assert row["ci_low"] < row["r"] < row["ci_high"]


def test_images_without_a_label_are_left_out_and_counted():
    frame = with_labels()
    frame.loc[:4, "kind"] = None
    row = correlate(frame, ["m2"], "hit", ["kind"], n_bootstrap=20).iloc[0]
    assert (row["n"], row["n_missing"]) == (75, 5)
    assert row["r"] == pytest.approx(correlate(frame.iloc[5:], ["m2"], "hit", ["kind"], n_bootstrap=20)["r"].iloc[0])


def test_a_label_that_all_share_is_constant():
    with pytest.raises(InputError, match=r"constant columns have no correlation .kind is a for all, 80 images"):
        correlate(with_labels().assign(kind="a"), ["m2"], "hit", ["kind"], n_bootstrap=20)


def test_a_permutation_test_is_asked_for_and_says_its_step():
    frame = with_labels()
    found = correlate(frame, ["m0", "m2"], "hit", ["kind"], n_bootstrap=20, test="permutation", n_permutations=199)
    steps = found["p_permutation"] * 200
    np.testing.assert_allclose(steps, steps.round())
    assert found.set_index("measure").loc["m2", "p_permutation"] == pytest.approx(1 / 200)
    assert (found["p_resolution"] == 2 / 20).all()
    assert "p_permutation" not in correlate(frame, ["m0"], "hit", n_bootstrap=20).columns
    with pytest.raises(InputError, match="test 'exact' is not one of bootstrap, permutation"):
        correlate(frame, ["m0"], "hit", test="exact")


def test_degrees_of_freedom_do_not_count_what_labels_repeat():
    frame = with_labels().assign(twice=lambda table: table["kind"].str.upper())
    assert Design(frame, ["kind"]).n_free == Design(frame, ["kind", "twice"]).n_free == 3
    assert Design(frame, ["kind", "side", "m0"]).n_free == 5
    assert Design(frame, []).n_free == 0
    assert Design(frame.assign(rest=7 - frame["m0"]), ["m0", "rest"]).n_free == 1
    assert Design(frame.assign(same=7.0), ["m0", "same"]).n_free == 1


def test_a_multiple_regression_takes_labels():
    frame = with_labels()
    found = joint_model(frame, ["m1", "m2"], "hit", controls=["kind", "m0"])
    whole, alone = ols("hit ~ m1 + m2 + kind + m0", frame).fit(), ols("hit ~ kind + m0", frame).fit()
    assert (found["r2"], found["r2_adjusted"]) == (pytest.approx(whole.rsquared), pytest.approx(whole.rsquared_adj))
    assert found["r2_controls"] == pytest.approx(alone.rsquared)
    assert found["p_measures"] == pytest.approx(whole.compare_f_test(alone)[1])
    assert found["r2_cv"] < found["r2"]
    assert set(joint_model(frame, ["m1"], "hit")) == {"n", "n_measures", "r2", "r2_adjusted", "r2_cv", "p"}


TABLES = {
    "measures": pd.DataFrame(
        {"norm:fc1": [1.0, 2], "norm:fc2": [2.0, 1], "edge_share": [0.1, 0.2], "mean:fc2": [1.0, 2]}
    ),
    "scores": pd.DataFrame({"hit": [0.1, 0.9]}),
    "columns of the image table": pd.DataFrame(
        {"category": ["1", "2"], "arousal": ["1.5", ""], "scene_type": ["a", "NA"], "block": ["1", "2"]}
    ),
}  # fmt: skip


def test_controls_are_found_where_they_are():
    names = ["norm:fc2", "edges", "hit", "category", "arousal", "scene type", "C(block)", "block", "mean"]
    found = find_controls(names, TABLES)
    assert list(found.columns) == [name.replace("edges", "edge_share") for name in names]
    numbers = [name for name in found.columns if pd.api.types.is_numeric_dtype(found[name])]
    assert numbers == ["norm:fc2", "edge_share", "hit", "arousal", "block", "mean"]
    assert found["category"].tolist() == ["1", "2"]
    assert found["scene type"].isna().tolist() == found["arousal"].isna().tolist() == [False, True]
    assert not pd.api.types.is_numeric_dtype(find_controls(["block"], TABLES, labels=True)["block"])


def test_what_is_not_there_is_named_with_what_is():
    with pytest.raises(InputError, match=r"`control` names 'norm', .*measured at 2 layers: name one, such as norm:fc1"):
        find_controls(["norm"], TABLES)
    with pytest.raises(InputError, match=r"`within` names 'arousl': no such column; did you mean 'arousal'. there are"):
        find_controls(["arousl"], TABLES, key="within")
    check_controls(["norm:fc2", "category", "edges"], ["category", "edge_share"], key="control")
    own = find_controls(["edges"], {"measures": pd.DataFrame({"edge_share": [0.1], "edges": [3.0]})})
    assert own["edges"].tolist() == [3.0]
    with pytest.raises(InputError, match=r"neither a measure .such as norm:fc2. nor a column; did you mean 'category'"):
        check_controls(["catgory"], ["category"], key="control")


def test_columns_of_a_design_are_a_dummy_variable_for_each_label_but_the_first():
    frame = pd.DataFrame({"kind": ["b", "a", "c", "b"], "m0": [1.0, 2.0, 3.0, 4.0]})
    assert Design(frame, ["kind", "m0"]).columns().tolist() == [[1, 1, 0], [2, 0, 0], [3, 0, 1], [4, 1, 0]]
    assert Design(frame, ["m0"]).columns().tolist() == [[1], [2], [3], [4]]
