"""Tests of `distspc.report.readouts`."""

import numpy as np
import pandas as pd
import pytest

from distspc.report.readouts import caption, readout_sentences
from tests.report.shared import READOUTS, plain, readouts, relations


def test_captions_say_what_is_drawn():
    assert caption(None) == ""
    assert caption(readouts()).endswith("Lines across: all measures read out together and the predictions of resmem.")
    assert "linear readout" not in caption(readouts(READOUTS[4:]))


def test_sentences_name_the_best_layer_and_what_the_mark_means():
    texts = [plain(text) for text in readout_sentences(readouts(), relations(), "hit")]
    assert texts == [
        "A linear readout of the activations of block5_pool (kernel ridge, 10-fold cross-validation) predicts hit at "
        "r = .50, 95 % CI .46 to .54, n = 2,222, R² .24; the best of 3 layers. This is an upper mark for linear "
        "readouts of these layers with this many images, not a bound: more images or another readout may give more. "
        "The largest correlation of one measure, distinctiveness at block5_pool (r = .30), is 60 % of it.",
        "The 2 measures together, read out the same way, predict hit at r = .35, 95 % CI .31 to .39, n = 2,222, "
        "R² .10.",
        "The predictions of resmem correlate with hit at r = .60, 95 % CI .56 to .64, n = 2,222; if it was trained on "
        "these images, that is more than it would be for new ones.",
    ]


def test_sentences_say_where_nothing_is_predicted():
    rows = [("activations", "", "fc2", -0.2, -0.1), ("measures", "norm:fc2", "all", 0.02, -0.01)]
    assert readout_sentences(readouts(rows), relations(), "hit") == [
        "Linear readouts of the activations (kernel ridge, 10-fold cross-validation) predict hit no better than its "
        "mean: cross-validated R² −.10 at fc2.",
        "The measure, read out the same way, predicts hit no better than its mean.",
    ]


@pytest.mark.parametrize(
    "readout", [pd.DataFrame(), readouts(score="fa"), readouts([("activations", "", "fc2", np.nan, np.nan)])]
)
def test_without_a_readout_of_the_score_nothing_is_said(readout):
    assert readout_sentences(readout, relations(), "hit") == []
