"""Measures of a tidy table, and the table with a column for each measure and layer."""

import numpy as np
import pandas as pd

from distspc.results.measures import (
    MEASURES,
    MODEL_MEASURES,
    OWN_COLUMNS,
    measures_of,
    partial_rows,
    wide_table,
    zero_order_rows,
)

TIDY = pd.DataFrame(
    {"image": ["t/1", "t/2"] * 2, "layer": ["fc2"] * 2 + ["block1_pool"] * 2,
     "distinctiveness": [1.0, 2.0, 3.0, 4.0], "norm": [np.nan] * 4, "reconstruction_error": [0.1, 0.2, np.nan, np.nan]}
)  # fmt: skip


def test_a_measure_without_a_value_is_none():
    assert measures_of(TIDY) == ["distinctiveness", "reconstruction_error"]
    assert set(MODEL_MEASURES) <= set(MEASURES) <= set(OWN_COLUMNS)


def test_columns_go_from_the_image_upward():
    wide = wide_table(TIDY)
    assert list(wide.columns) == ["distinctiveness:block1_pool", "distinctiveness:fc2", "reconstruction_error:fc2"]
    assert wide.loc["t/2", "distinctiveness:block1_pool"] == 4.0
    assert wide.index.name == "image"


def test_zero_order_and_partial_rows_are_told_apart_by_what_is_controlled_for():
    table = pd.DataFrame({"given": ["", "norm:fc2", "", "norm:fc2"], "method": ["pearson"] * 2 + ["spearman"] * 2})
    assert list(zero_order_rows(table).index) == [0]
    assert list(zero_order_rows(table, method=None).index) == [0, 2]
    assert list(partial_rows(table).index) == [1]
    assert list(partial_rows(table, method="spearman").index) == [3]
