"""Tests of `distspc.report.sentences`."""

import numpy as np
import pandas as pd

from distspc.report import sentences
from tests.report.shared import plain


def relations_of(r, p, *, layers=("fc1", "fc2"), measure="distinctiveness", score="hit", given=""):
    n = len(layers)
    return pd.DataFrame(
        {
            "layer": layers, "measure": [measure] * n, "score": [score] * n, "given": [given] * n,
            "method": ["pearson"] * n, "n": [2222] * n, "r": r, "ci_low": np.array(r) - 0.04,
            "ci_high": np.array(r) + 0.04, "p_holm": p, "n_tests": [14] * n,
        }
    )  # fmt: skip


def test_a_finding_that_holds():
    said = plain(sentences.correlation_sentence(relations_of([0.1, 0.36], [0.2, 0.001]), "hit", "distinctiveness"))
    assert said == (
        "Distinctiveness correlates with hit at 1 of 2 layers after Holm's correction for 14 tests, most strongly at "
        "fc2: r = .36, 95 % CI .32 to .40, n = 2,222. Images farther from their nearest neighbour have larger "
        "values of hit."
    )


def test_a_finding_that_does_not_hold_is_not_one():
    said = plain(sentences.correlation_sentence(relations_of([0.02, -0.03], [1.0, 0.6]), "hit", "distinctiveness"))
    assert said.startswith(
        "Distinctiveness is not significantly correlated with hit at any of the 2 layers: the largest"
    )
    assert "r = −.03, 95 % CI −.07 to .01" in said
    assert "is not significant after Holm's correction for 14 tests (p = .60)" in said
    said = sentences.correlation_sentence(relations_of([0.3, -0.3], [0.01, 0.01]), "hit", "distinctiveness")
    assert "The sign changes: positive at fc1, negative at fc2." in said
    assert sentences.correlation_sentence(relations_of([0.3, -0.3], [0.01, 0.01]), "fa", "distinctiveness") == ""


def test_partial_findings_within_and_across_layers():
    within = relations_of([0.2, 0.1], [0.01, 0.9], measure="reconstruction_error", given="distinctiveness:fc1")
    said = plain(sentences.partial_sentence(within, "hit", "reconstruction_error", "distinctiveness"))
    assert said == (
        "Controlling for distinctiveness of the same layer, reconstruction error correlates with hit at fc1 "
        "(partial r = .20, 95 % CI .16 to .24, n = 2,222)."
    )
    (across,) = sentences.across_sentences(within, "hit")
    assert plain(across) == (
        "Controlling for distinctiveness at fc1, reconstruction error is not significantly correlated with hit at fc2 "
        "(partial r = .10, 95 % CI .06 to .14, n = 2,222; p = .90 after Holm's correction)."
    )


def test_scores_that_differ_are_named():
    both = pd.concat(
        [relations_of([0.0, 0.02], [1, 0.9]), relations_of([0.01, -0.33], [0.9, 0.001], score="fa")], ignore_index=True
    )
    said = plain(sentences.contrast_sentence(both))
    assert "distinctiveness at fc2 correlates with fa (r = −.33" in said
    assert "is not significantly correlated with hit (r = .02" in said
    assert sentences.contrast_sentence(relations_of([0.3, 0.3], [0.01, 0.01])) == ""


def test_joint_models_that_predict_nothing_say_so():
    models = pd.DataFrame(
        {"layer": ["fc1", "fc2", "all"], "score": "hit", "r2_cv": [-0.1, -0.02, -0.4], "n_measures": [3, 3, 6]}
    )
    said = plain(sentences.model_sentence(models, "hit"))
    assert said.startswith("In multiple regression, no layer's measures predict hit")
    assert "predict worse than the mean (R² −.40)" in said
    models["r2_cv"] = [0.1, 0.17, 0.19]
    said = plain(sentences.model_sentence(models, "hit"))
    assert said.startswith("In multiple regression, the measures of fc2 explain 17 % of the variance of hit")
    assert said.endswith("All 6 measures of all layers explain 19 %.")


def test_comparisons_in_words():
    table = pd.DataFrame(
        {"layer": ["fc1", "fc2"], "score": "hit", "difference": [0.2, -0.1], "williams_p": [0.001, 0.002]}
    )
    assert sentences.comparison_sentence(table, "hit") == (
        "Distinctiveness has the higher correlation with hit at fc1; reconstruction error at fc2 (Williams' t of two "
        "dependent correlations, Holm)."
    )
    assert "do not differ significantly" in sentences.comparison_sentence(table.assign(williams_p=0.4), "hit")


def test_the_largest_correlation_of_each_network_is_named():
    rows = relations_of([0.1, -0.3, 0.2], [0.5, 0.5, 0.5], layers=("fc1@vgg", "fc2@vgg", "a@clip"))
    assert sentences.network_sentence(rows, "hit", "distinctiveness") == (
        "By network, the largest correlation of distinctiveness with hit is −.30 in vgg (fc2) and .20 in clip (a)."
    )
    assert sentences.network_sentence(relations_of([0.1, 0.3], [0.5, 0.5]), "hit", "distinctiveness") == ""


def test_further_measures_are_named_where_they_correlate_most():
    rows = [
        {"measure": measure, "layer": layer, "score": "hit", "given": "", "method": "pearson", "n": 90, "r": r,
         "ci_low": r - 0.1, "ci_high": r + 0.1, "p_holm": p}
        for measure, layer, r, p in (
            ("hoyer", "fc1", 0.1, 0.5), ("hoyer", "fc2", -0.4, 0.01), ("activation_max", "fc2", 0.2, 0.2),
            ("edge_share", "", 0.1, 0.3), ("norm", "fc2", 0.9, 0.0),
        )
    ]  # fmt: skip
    text = plain(sentences.further_sentence(pd.DataFrame(rows), "hit"))
    assert text == (
        "Of the further measures, the largest correlations with hit are Hoyer sparseness at fc2 (r = −.40, 95 % CI "
        "−.50 to −.30, n = 90) and share of edges (r = .10, 95 % CI .00 to .20, n = 90, not significant)."
    )
    assert sentences.further_sentence(pd.DataFrame(rows[-1:]), "hit") == ""
