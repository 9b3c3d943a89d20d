"""Tests of `distspc.memorability.predictions`."""

from __future__ import annotations

import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.memorability.options import PredictionSource, ScoreSource
from distspc.memorability.predictions import check_columns, read_predictions, table_columns
from distspc.store.store import Store
from distspc.testing.stores import make_store


@pytest.fixture
def store(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=3, n_fillers=2, layers={"fc2": 4})
    return Store(tmp_path / "s.zarr")


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "predicted.csv"
    pd.DataFrame({"image": [3, 1, 2], "resmem": [0.3, 0.1, 0.2]}).to_csv(path, index=False)
    return path


def test_predictions_are_put_beside_their_targets(store, table):
    found, _ = read_predictions(store, PredictionSource(("resmem",), table, "image"))
    assert found["resmem"].tolist() == [0.1, 0.2, 0.3]
    assert found.index.tolist() == store.images.labels("image")[:3]


def test_a_column_of_the_image_table_comes_before_one_of_the_scores(store, table):
    scores = ScoreSource(table, "image", ("resmem",))
    assert read_predictions(store, PredictionSource(("resmem",)), scores)[0]["resmem"].tolist() == [0.1, 0.2, 0.3]
    store.images.write_column("image", "resmem", ["0.5", "0.25", "0.125", "", ""])
    assert table_columns(store) == ["resmem"]
    assert read_predictions(store, PredictionSource(("resmem",)), scores)[0]["resmem"].tolist() == [0.5, 0.25, 0.125]


def test_a_column_that_is_nowhere_is_refused_with_a_way_out(table):
    scores = ScoreSource(table, "image", ("resmem",))
    check_columns(PredictionSource(("resmem",)), scores, [])
    with pytest.raises(InputError, match=r"no column 'resmen'.*did you mean 'resmem'.*predictions: \{file: TABLE.csv"):
        check_columns(PredictionSource(("resmen",)), scores, [])
