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


def test_words_for_missing_predictions_are_those_of_the_scores_where_these_have_them(store, tmp_path):
    path = tmp_path / "scores.csv"
    pd.DataFrame({"image": [3, 1, 2], "hit": [0.3, 0.1, 0.2], "resmem": ["lost", "?", "0.2"]}).to_csv(path, index=False)
    scores = ScoreSource(path, "image", ("hit",), missing=("lost",))
    found, _ = read_predictions(store, PredictionSource(("resmem",), missing=("?",)), scores)
    assert found["resmem"].isna().tolist() == [True, False, True]


@pytest.mark.parametrize(("n_rows", "warning"), [(9, False), (8, True)])
def test_more_than_a_tenth_of_the_targets_without_a_prediction_is_a_warning(tmp_path, n_rows, warning):
    make_store(tmp_path / "s.zarr", n_targets=10, n_fillers=1, layers={"fc2": 4})
    path = tmp_path / "predicted.csv"
    pd.DataFrame({"image": [f"{i}.jpg" for i in range(1, n_rows + 1)], "net": 0.5}).to_csv(path, index=False)
    found, notices = read_predictions(Store(tmp_path / "s.zarr"), PredictionSource(("net",), path, "image"))
    assert found["net"].notna().sum() == n_rows
    (said,) = [notice for notice in notices if "no prediction" in notice.text]
    assert said.warning is warning


def test_positions_count_targets_that_cannot_be_read(tmp_path):
    """Rows 1 to 4 of images without a number in their names, of which the second was skipped."""
    make_store(tmp_path / "s.zarr", n_targets=3, n_fillers=0, layers={"fc2": 4})
    store = Store(tmp_path / "s.zarr")
    store.images.write("file", ["a.jpg", "c.jpg", "d.jpg"])
    store.images.write("number", [1, 3, 4])
    store.skipped.allocate(coords={"skipped": 1}, chunks={"skipped": 1}, recipe={})
    skipped = {"file": ["b.jpg"], "role": ["target"], "number": [2], "reason": ["is empty"], "nbytes": [0]}
    for name, values in (skipped | {"modified": [0]}).items():
        store.skipped.write(name, values)
    path = tmp_path / "predicted.csv"
    pd.DataFrame({"image": [1, 2, 3, 4], "net": [0.1, 0.2, 0.3, 0.4]}).to_csv(path, index=False)
    assert read_predictions(store, PredictionSource(("net",), path, "image"))[0]["net"].tolist() == [0.1, 0.3, 0.4]


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
