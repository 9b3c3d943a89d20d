"""Tests of `distspc.distances.tree`."""

from __future__ import annotations

import numpy as np
import pytest

from distspc.distances.options import LayerOptions
from distspc.distances.tile import DistanceTask
from distspc.distances.tree import product_tree
from distspc.store.store import Store
from distspc.tasks import ranges
from distspc.testing.stores import make_store


@pytest.mark.parametrize("n_features", [100, 300, 1000])
def test_tiles_of_features_add_up_to_the_product_of_all(tmp_path, n_features):
    path = tmp_path / "s.zarr"
    made = make_store(path, n_targets=6, n_fillers=5, layers={"fc2": 1000}, chunks={"image": 4, "feature": 100})
    options = LayerOptions(store=Store(path), layer="fc2", n_threads=1)
    whole = DistanceTask(options, targets=(0, 6), images=(0, 11), features=(0, 1000), tile_rows=4)
    tree = product_tree(whole, ranges(1000, n_features), "distances", (0,), "token", dtype=np.float64)
    found = tree.compute(scheduler="synchronous")
    rows = made["fc2"].astype(np.float64)
    assert found.n_tiles == len(ranges(1000, n_features))
    assert tree.key.startswith("distances-")
    np.testing.assert_allclose(found.products, rows[:6] @ rows.T, rtol=1e-12)
