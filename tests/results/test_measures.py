"""Measures of a tidy table, and the table with a column for each measure and layer."""

import numpy as np
import pandas as pd

from distspc.results.measures import (
    MEASURES,
    MODEL_MEASURES,
    OWN_COLUMNS,
    column_label,
    controls_of,
    flat_table,
    headline_layers,
    measures_of,
    partial_rows,
    split_label,
    wide_table,
    with_labels,
    with_models,
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
    pairs = [("distinctiveness", "block1_pool"), ("distinctiveness", "fc2"), ("reconstruction_error", "fc2")]
    assert list(wide.columns) == pairs
    assert wide.columns.names == ["measure", "layer"]
    assert wide.loc["t/2", ("distinctiveness", "block1_pool")] == 4.0
    assert wide.index.name == "image"
    flat = flat_table(wide)
    assert list(flat.columns) == [column_label(pair) for pair in pairs]
    assert [split_label(label) for label in flat.columns] == pairs
    assert flat["distinctiveness:fc2"].tolist() == [1.0, 2.0]


def test_a_measure_of_the_image_itself_is_one_column_whatever_the_layers():
    table = TIDY.assign(edge_share=[0.1, 0.2] * 2)
    wide = wide_table(table)
    assert [pair for pair in wide.columns if pair[1] == ""] == [("edge_share", "")]
    assert wide["edge_share", ""].tolist() == [0.1, 0.2]
    assert flat_table(wide).columns[-1] == "edge_share"
    assert split_label("edge_share") == ("edge_share", "")
    assert wide_table(table.assign(layer="").iloc[:2]).columns[-1] == ("edge_share", "")


def test_a_table_without_measures_has_no_columns():
    assert wide_table(TIDY.iloc[:0]).shape == (0, 0)
    assert flat_table(wide_table(TIDY[["image", "layer"]])).shape == (2, 0)


def test_controls_are_pairs_of_measure_and_layer():
    table = pd.DataFrame({"given": ["", "norm:fc2", "norm:fc2, distinctiveness:a:b"]})
    assert controls_of(table) == [[], [("norm", "fc2")], [("norm", "fc2"), ("distinctiveness", "a:b")]]


def test_zero_order_and_partial_rows_are_told_apart_by_what_is_controlled_for():
    table = pd.DataFrame({"given": ["", "norm:fc2", "", "norm:fc2"], "method": ["pearson"] * 2 + ["spearman"] * 2})
    assert list(zero_order_rows(table).index) == [0]
    assert list(zero_order_rows(table, method=None).index) == [0, 2]
    assert list(partial_rows(table).index) == [1]
    assert list(partial_rows(table, method="spearman").index) == [3]


def test_a_table_for_people_has_the_model_beside_the_layer():
    several = TIDY.assign(layer=["fc2@vgg"] * 2 + ["/fc2@clip"] * 2, model=5)
    shown = with_models(several)
    assert list(shown.columns[:3]) == ["image", "model", "layer"]
    assert list(shown["model"]) == ["vgg"] * 2 + ["clip"] * 2
    assert list(shown["layer"]) == ["fc2"] * 2 + ["/fc2"] * 2
    assert list(shown["score:model"]) == [5] * 4
    back = with_labels(shown.drop(columns="score:model"))
    pd.testing.assert_frame_equal(back, several.drop(columns="model"))


def test_a_table_of_one_network_has_no_model():
    assert with_models(TIDY) is TIDY
    assert with_labels(TIDY) is TIDY


def test_a_row_without_a_model_keeps_its_name():
    models = pd.DataFrame({"layer": ["fc2@vgg", "all"]})
    assert with_models(models)["model"].tolist() == ["vgg", ""]
    assert with_labels(with_models(models))["layer"].tolist() == ["fc2@vgg", "all"]


def test_a_layer_of_each_network_is_shown():
    assert headline_layers("distinctiveness", ["fc2", "block5_pool"]) == ["block5_pool"]
    assert headline_layers("distinctiveness", ["block1_pool", "fc2"]) == ["fc2"]
    several = ["fc2@vgg", "a@clip", "block5_pool@vgg", "b@clip"]
    assert headline_layers("distinctiveness", several) == ["block5_pool@vgg", "b@clip"]
