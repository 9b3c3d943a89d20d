"""Trainings are those of the store, and every two seeds are compared."""

import numpy as np
import pytest

from distspc.results.training import Iterations, iterations, seed_pairs, shortened, training
from distspc.store.store import Store
from distspc.testing.stores import image_ids, make_store, write_measures


@pytest.fixture
def store(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=8, n_fillers=3, layers={"fc2": 4})
    write_measures(tmp_path / "s.zarr", image_ids(8, 3), 8, ["fc2", "fc1"], seeds=(0, 1, 2))
    return Store(tmp_path / "s.zarr")


def test_trainings_are_those_of_the_store(store):
    curves, converged = training(store, ["fc2", "block1_pool"])
    assert list(curves) == list(converged) == ["fc2"]
    np.testing.assert_array_equal(curves["fc2"], store.reconstruction.read("training_error", layer=0))
    assert converged["fc2"].shape == curves["fc2"].shape == (3, 20)
    assert shortened(store, ["fc2"]) == {}


def test_iterations_are_those_of_the_seeds_that_are_done(store):
    stored = store.reconstruction.read("n_steps")
    assert iterations(store, ["fc1", "fc2", "block1_pool"], [2, 0, 7]) == {
        "fc1": Iterations.of(stored[1, [0, 2]]),
        "fc2": Iterations.of(stored[0, [0, 2]]),
    }
    next(store.reconstruction.path.glob("error/c/1/2*")).rename(store.path / "lost")
    found = iterations(Store(store.path), ["fc2", "fc1"], [1, 2])
    assert found == {"fc2": Iterations.of(stored[0, 1:]), "fc1": Iterations.of(stored[1, 1])}
    assert iterations(store, ["fc2"], [7]) == {}


def test_there_are_no_iterations_without_batches(tmp_path, store):
    make_store(tmp_path / "n.zarr", n_targets=3, n_fillers=2, layers={"fc2": 4})
    assert iterations(Store(tmp_path / "n.zarr"), ["fc2"], [0]) == {}
    for seed in range(3):  # as PCA leaves them
        store.reconstruction.write("n_steps", np.zeros((1, 1, 20)), layer=slice(0, 1), seed=slice(seed, seed + 1))
    assert list(iterations(store, ["fc2", "fc1"], [0, 1, 2])) == ["fc1"]


def test_iterations_in_words():
    found = Iterations.of(np.array([[40, 44], [999, 45]]))
    assert (found.mean, found.median, found.most) == (282.0, 44.5, 999)
    assert str(found) == "iterations a batch: median 44, most 999"


def test_every_two_seeds_are_compared(store):
    pairs, n_seeds = seed_pairs(store, ["fc2", "fc1"])
    assert n_seeds == 3
    assert len(pairs["fc2"]) == 3
    errors = store.reconstruction.load("error", layer="fc2")["error"].sel(image=image_ids(8, 3)[:8]).values
    assert pairs["fc2"][0] == pytest.approx(np.corrcoef(errors[:2])[0, 1])
    assert seed_pairs(store, ["fc2"], [0, 2])[1] == 2
