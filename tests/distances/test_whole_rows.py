"""Tests of `distspc.distances.whole_rows`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distspc.store.store import Store
from distspc.testing.stores import make_store, relu_activations
from tests.distances.shared import CUTS, brute_force, difficult, run


def test_float16_activations(tmp_path):
    x = relu_activations(50, 600).astype(np.float16)
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=20, n_fillers=30, layers={"fc2": 600}, activations={"fc2": x})
    found = run(path)
    distance, neighbour, _ = brute_force(x, 20)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-12)


@CUTS
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("rows", ["relu", "near-duplicates with large norms", "two far clusters"])
def test_targets_taken_some_at_a_time(tmp_path, limits, rows, n_threads):
    # As with more targets than fit in a tile: those of one tile, and each tile with those below it, both ways.
    limits = replace(limits, tile_rows=8, feature_tile_rows=8)
    n_targets, x = 45, relu_activations(60, 1300) if rows == "relu" else difficult(rows, 60, 1300)
    x[40] = x[2]
    chunks = {"image": 4, "feature": 512}
    make_store(
        tmp_path / "s", n_targets=n_targets, n_fillers=15, layers={"fc2": 1300}, activations={"fc2": x}, chunks=chunks
    )
    found = run(tmp_path / "s", limits=limits, n_threads=n_threads, n_neighbours=2)
    distance, neighbour, pool = brute_force(x, n_targets, n_neighbours=2)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-9)
    np.testing.assert_allclose(found["pool_distance"], pool, rtol=1e-6)


@CUTS
@pytest.mark.parametrize("n_threads", [1, 2])
def test_many_duplicates(tmp_path, limits, n_threads):
    limits = replace(limits, pairs_at_once=100)
    x = relu_activations(300, 600)
    x[20:250] = x[0]
    make_store(tmp_path / "s", n_targets=80, n_fillers=220, layers={"fc2": 600}, activations={"fc2": x})
    found = run(tmp_path / "s", limits=limits, n_threads=n_threads, n_neighbours=3)
    distance, neighbour, pool = brute_force(x, 80, n_neighbours=3)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    assert ((found["distance"] == 0) == (distance == 0)).all()
    np.testing.assert_allclose(found["pool_distance"], pool, rtol=1e-6)


@CUTS
@pytest.mark.parametrize("seed", range(6))
def test_a_pool_of_duplicates_alone(tmp_path, limits, seed):
    x = np.random.default_rng(seed).standard_normal((8, 600), dtype=np.float32)
    x[[1, 2, 3]] = x[0]
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=2, n_fillers=6, layers={"fc2": 600}, activations={"fc2": x})
    Store(path).images.write("category", ["a", "a", "a", "a", "b", "b", "b", "b"])
    assert run(path, limits=limits, category="category")["pool_distance"].tolist() == [0, 0]
    assert np.isnan(run(path, limits=limits, protocol="distinct", category="category")["pool_distance"]).all()
