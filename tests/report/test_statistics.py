"""Tests of `distspc.report.statistics`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from distspc.report.statistics import split_half_sentences, statistic_tables
from distspc.results.stored_tables import write_table
from distspc.store.format import schema
from distspc.store.store import Store
from distspc.testing.stores import make_store

RELIABILITY = pd.DataFrame(
    {
        "score": ["hit", "fa"],
        "n_subjects": [40, 40],
        "n_responses": [1200, 1200],
        "n_images": [30, 30],
        "n_halves": [1000, 1000],
        "r_half": [0.6, np.nan],
        "reliability": [0.75, np.nan],
        "ci_low": [0.6, np.nan],
        "ci_high": [0.85, np.nan],
        "used": [0.64, np.nan],
    }
)


def test_reliability_and_its_root_are_said_of_scores_that_have_one():
    subjects, root = split_half_sentences(RELIABILITY)
    assert "40 subjects gave 1,200 responses" in subjects
    assert "hit .75 (95 % CI .60 to .85)" in subjects
    assert "fa" not in subjects.split()
    assert "than .80 with hit" in root
    assert split_half_sentences(RELIABILITY[1:]) == []


def test_tables_are_those_of_the_layers_that_are_shown(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=3, n_fillers=2, layers={"fc1": 4, "fc2": 4})
    store = Store(tmp_path / "s.zarr")
    assert statistic_tables(store) == {}
    columns = schema.variables(schema.WITHIN_MEAN)
    rows = {name: ["a", "b"] if one.dtype == "str" else [1, 2] for name, one in columns.items()}
    write_table(store[schema.WITHIN_MEAN], pd.DataFrame(rows).assign(layer=["fc1", "fc2"]), recipe={})
    assert statistic_tables(store)[schema.WITHIN_MEAN]["layer"].tolist() == ["fc1", "fc2"]
    assert statistic_tables(store, layers=["fc2"])[schema.WITHIN_MEAN]["layer"].tolist() == ["fc2"]
    assert statistic_tables(store, layers=["block5_pool"]) == {}
    assert statistic_tables(store, with_scores=False) == {}
