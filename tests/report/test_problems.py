"""Warnings: duplicates, measures that are missing, and nothing in a clean study."""

import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.report.problems import duplicates, left_out, problems
from distspc.results.tidy import tidy_table
from distspc.store.failures import Failure, keep_failures
from distspc.store.notices import Notice, keep_notices
from distspc.store.store import Store
from distspc.testing.stores import image_ids, make_store, write_measures


@pytest.fixture
def store(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=8, n_fillers=3, layers={"fc2": 4})
    write_measures(tmp_path / "s.zarr", image_ids(8, 3), 8, ["fc2", "fc1"], seeds=(0, 1, 2))
    return Store(tmp_path / "s.zarr")


def test_duplicates_are_at_distance_0_at_every_layer():
    table = pd.DataFrame(
        {"image": ["a", "b"] * 2, "layer": ["fc1"] * 2 + ["fc2"] * 2, "neighbour": ["x", "y", "x", "z"],
         "distinctiveness": [0.0, 0.0, 0.0, 1.0]}
    )  # fmt: skip
    assert duplicates(table) == [("a", "x")]
    assert duplicates(table.iloc[:0]) == []


def test_failures_and_missing_measures_are_said_once(store):
    clean = tidy_table(store)
    assert not [text for text in problems(store, clean, ["fc2"]) if "missing" in text or "failed" in text]
    table = clean.assign(distinctiveness=clean["distinctiveness"].where(clean["layer"] != "fc2"))
    assert any("is missing for 8 targets at fc2" in text for text in problems(store, table, ["fc2"]))
    failure = Failure.of("distances", "fc2", None, InputError("fc2: the activations do not vary"))
    keep_failures(store, "distances", [failure], layers=["fc2"])
    found = problems(store, table, ["fc2"])
    assert found[0].startswith("Distances of layer fc2 failed: the activations do not vary")
    assert not any("is missing for" in text for text in found)


def test_what_was_left_out_follows_the_layers_and_the_scores(store):
    assert left_out(store, ["fc2"]) == []
    keep_notices(store.layer("fc2"), "preprocessing", [Notice("another input", warning=True)])
    assert left_out(store, ["fc2"]) == [Notice("another input", True)]
    assert left_out(store, ["fc1"]) == []
