"""Tests of the last tasks of a layer: what may be nearest settled, results stored."""

from __future__ import annotations

import dask

from distspc.distances import finish
from distspc.distances.build import nearest_distances
from distspc.distances.planning.plan import DistancePlan
from distspc.store.store import Store
from tests.distances.shared import FEATURE_TILES, N_TARGETS, brute_force, layer_size, run, run_plan, stored


def test_an_interrupted_layer_is_done_again(relu_store):
    path, x = relu_store
    Store(path).distances.remove()
    *tiles, last = nearest_distances(path, layer="fc2", n_workers=3)
    dask.compute(*tiles, scheduler="synchronous")
    assert not Store(path).distances.done("distance").any()
    dask.compute(last, scheduler="synchronous")
    assert stored(path)["neighbour_index"].tolist() == brute_force(x, N_TARGETS)[1].tolist()


def test_of_a_layer_cut_by_features_little_more_than_the_nearest_is_computed_again(relu_store, monkeypatch):
    (path, x), released = relu_store, []
    monkeypatch.setattr(finish, "free_spare_memory", lambda: released.append(1))
    found = run(path, limits=FEATURE_TILES)
    assert N_TARGETS <= found["n_rescored"] <= N_TARGETS + 12
    assert found["bytes_read"] < 2.3 * x.nbytes
    assert released == [1]  # the memory of tiles, for the rows that are read again


def test_tiles_of_some_targets_are_put_together_within_their_memory(relu_store):
    # Rows that are read again come in groups; the smallest memory makes groups of one pair.
    path, _ = relu_store
    expected = run(path)
    plan = DistancePlan(layer_size(path), 30, 32, 512, 16, 7)
    for memory in (1, 2**30):
        found = run_plan(path, plan, memory_nbytes=memory)
        assert found["distance"].tolist() == expected["distance"].tolist()
        assert found["neighbour_index"].tolist() == expected["neighbour_index"].tolist()


def test_what_is_read_and_computed_again_counts_once_however_many_settle_it(relu_store):
    path, x = relu_store
    whole = run_plan(path, DistancePlan(layer_size(path), 30, 96, x.shape[1], 16, 30))
    parts = run_plan(path, DistancePlan(layer_size(path), 30, 96, x.shape[1], 16, 7))
    assert whole["n_rescored"] == parts["n_rescored"] > 0
    assert whole["bytes_read"] == parts["bytes_read"] == x.nbytes
    cut = [run_plan(path, DistancePlan(layer_size(path), 30, 32, x.shape[1], 16, n)) for n in (30, 7)]
    assert cut[0]["n_rescored"] == cut[1]["n_rescored"]
    assert cut[0]["bytes_read"] == cut[1]["bytes_read"]
