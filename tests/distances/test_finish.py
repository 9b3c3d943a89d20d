"""Tests of: the last task of a layer: its tiles merged, near ties settled, results stored."""

from __future__ import annotations

import dask

from distspc.distances import finish
from distspc.distances.build import nearest_distances
from distspc.store.store import Store
from tests.distances.shared import FEATURE_TILES, N_TARGETS, brute_force, run, stored


def test_an_interrupted_layer_is_done_again(relu_store):
    path, x = relu_store
    Store(path).distances.remove()
    *tiles, finish = nearest_distances(path, layer="fc2", n_workers=3)
    dask.compute(*tiles, scheduler="synchronous")
    assert not Store(path).distances.done("distance").any()
    dask.compute(finish, scheduler="synchronous")
    assert stored(path)["neighbour_index"].tolist() == brute_force(x, N_TARGETS)[1].tolist()


def test_estimates_are_sharp_enough_to_stand(relu_store):
    # Feature tiles: float64 products decide all but the duplicates, so that hardly a row is read again.
    path, x = relu_store
    found = run(path, limits=FEATURE_TILES)
    assert found["n_rescored"] <= 12
    assert finish.TOLERANCE <= 1e-9
    assert found["bytes_read"] < 1.3 * x.nbytes
