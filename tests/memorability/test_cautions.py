"""Few images, missing values and ties each have their sentence."""

import numpy as np
import pandas as pd

from distspc.memorability.cautions import cautions
from distspc.memorability.correlation import correlate


def said(n, **columns):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"m": rng.normal(size=n), "score": rng.normal(size=n)}).assign(**columns)
    relations = pd.concat([correlate(frame, ["m"], "score", method=m, n_bootstrap=20) for m in ("pearson", "spearman")])
    return cautions(frame, ["m"], ["score"], relations)


def test_nothing_is_said_of_many_different_values():
    assert said(10) == []


def test_fewer_than_ten_images_are_a_warning():
    (notice,) = said(9)
    assert notice.text == "2 of 2 correlations rest on fewer than 10 images (9): their CI and p say little."
    assert notice.warning


def test_missing_values_are_counted():
    (notice,) = said(14, score=[np.nan] * 3 + list(range(11)))
    assert notice.text == "Missing for some of 14 images, which their correlations leave out: score (3)."
    assert not notice.warning


def test_ties_are_counted_where_ranks_are_correlated():
    (notice,) = said(12, score=[1.0, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9])
    assert notice.text == (
        "Ties: images share their value with another in score (6 of 12); in Spearman's correlations they have their "
        "mean rank."
    )
    frame = pd.DataFrame({"m": range(12), "score": [1.0, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9]})
    assert cautions(frame, ["m"], ["score"], correlate(frame, ["m"], "score", n_bootstrap=20)) == []
