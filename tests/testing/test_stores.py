"""Synthetic stores: what they hold is what they return, and computing too early is caught."""

import dask
import numpy as np
import pytest

from distspc.store.store import Store
from distspc.testing.stores import (
    ComputedTooEarlyError,
    image_ids,
    make_store,
    no_compute,
    one_direction_activations,
    relu_activations,
    write_measures,
)


def test_activations_are_those_that_are_returned(tmp_path):
    made = make_store(tmp_path / "s.zarr", n_targets=3, n_fillers=4, layers={"fc2": 8}, duplicates=((0, 5),))
    stored = Store(tmp_path / "s.zarr").layer("fc2").read("activation")
    np.testing.assert_array_equal(stored, made["fc2"])
    np.testing.assert_array_equal(stored[0], stored[5])
    assert Store(tmp_path / "s.zarr").images.labels("image") == image_ids(3, 4)


def test_measures_are_complete(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=3, n_fillers=4, layers={"fc2": 8})
    write_measures(tmp_path / "s.zarr", image_ids(3, 4), 3, ["fc2"], seeds=(0, 1))
    store = Store(tmp_path / "s.zarr")
    assert store.distances.done("distance").all()
    assert np.isfinite(store.reconstruction.read("error")).all()


def test_kinds_of_activations():
    relu = relu_activations(50, 40)
    assert relu.dtype == np.float32
    assert (relu >= 0).all()
    assert (relu == 0).any()
    assert np.linalg.matrix_rank(one_direction_activations(20, 10) - one_direction_activations(20, 10).mean(0)) >= 1


def test_nothing_may_be_computed_inside_the_block():
    task = dask.delayed(sum)([1, 2])
    with no_compute(), pytest.raises(ComputedTooEarlyError):
        dask.compute(task)
    assert dask.compute(task, scheduler="synchronous") == (3,)
