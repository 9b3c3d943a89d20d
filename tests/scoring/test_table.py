"""Percentiles among the study's targets, seeds and neighbours."""

from types import SimpleNamespace

import numpy as np
import pytest

from distspc.scoring import table
from distspc.scoring.results import LayerResults
from distspc.scoring.table import percentiles
from distspc.store.store import Store
from distspc.testing.stores import make_store, write_measures


def test_percentiles_count_equal_values_half():
    known = np.array([3.0, 1.0, 2.0, 2.0])
    assert percentiles(np.array([0.0, 1.0, 2.0, 9.0]), known).tolist() == [0, 12.5, 50, 100]
    assert np.isnan(percentiles(np.array([np.nan]), known)).all()


def test_several_seeds_and_neighbours_have_a_mean_and_a_standard_deviation_of_samples():
    distance, ids = np.array([[1.0, 2.0, 6.0], [2.0, 3.0, 4.0]]), ["a", "b", "c"]
    variables = {"distance": distance, "neighbour_index": np.array([[2, 0, 1], [1, 2, -1]]), "norm": np.ones(2)}
    found = table._distances(LayerResults(variables, {}, {}), ids)
    assert found["distinctiveness"].tolist() == [1, 2]
    assert found["mean_distance"].tolist() == [3, 3]
    assert found["neighbour_3"].tolist() == ["b", ""]
    errors = {0: np.array([1.0, 2.0]), 3: np.array([3.0, 2.0]), 7: np.full(2, np.nan)}
    found = table._errors(LayerResults(variables, errors, {}))
    assert found["reconstruction_error"].tolist() == [2, 2]
    assert found["reconstruction_error_sd"].tolist() == [pytest.approx(2**0.5), 0]
    assert "reconstruction_error_seed7" not in found


def test_values_to_be_compared_with_are_those_of_the_targets(tmp_path):
    """Fillers have a reconstruction error, too."""
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=5, n_fillers=4, layers={"fc2": 3})
    store = Store(path)
    write_measures(path, store.images.labels("image"), 5, ["fc2"], seeds=(0, 3))
    known = table.target_values(SimpleNamespace(store=store, seeds=(0, 3)), "fc2")
    errors, distances = store.reconstruction.read("error", layer=0), store.distances.read("distance", layer=0)
    assert known["reconstruction_error"].tolist() == sorted(errors[:, :5].mean(axis=0))
    assert known["distinctiveness"].tolist() == sorted(distances[:, 0])
