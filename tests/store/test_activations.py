"""Activations of layers: allocated once, missing chunks by number, shapes without the network."""

import numpy as np
import pytest

from distspc.errors import StoreMismatchError
from distspc.store.activations import allocate_layers, images_of, missing_chunks, stored_shapes
from distspc.store.store import Store
from distspc.testing.stores import image_ids, write_image_table

RECIPE = {"weights": "sha256:ab"}


@pytest.fixture
def store(tmp_path):
    write_image_table(tmp_path / "s.zarr", image_ids(70, 30), 70)
    return Store(tmp_path / "s.zarr")


def test_chunks_are_missing_until_they_are_written(store):
    assert stored_shapes(store, {"fc2": RECIPE}) is None
    allocate_layers(store, {"fc2": (6,), "block5_pool": (2, 2, 3)}, RECIPE, "float16")
    assert missing_chunks(store, ["fc2", "block5_pool"]) == {0: ("fc2", "block5_pool"), 1: ("fc2", "block5_pool")}
    where = images_of(store, "fc2", 1)
    assert where == slice(64, 100)
    store.layer("fc2").write("activation", np.ones((36, 6), np.float16), image=where)
    assert missing_chunks(store, ["fc2", "block5_pool"]) == {0: ("fc2", "block5_pool"), 1: ("block5_pool",)}
    assert store.layer("block5_pool").attributes["axes"] == ["row", "column", "channel"]


def test_shapes_are_known_for_the_same_recipe_alone(store):
    allocate_layers(store, {"fc2": (6,)}, RECIPE, "float32")
    assert stored_shapes(store, {"fc2": RECIPE}) == {"fc2": (6,)}
    assert stored_shapes(store, {"fc2": {"weights": "sha256:cd"}}) is None
    with pytest.raises(StoreMismatchError, match='weights was "sha256:ab", now "sha256:cd"'):
        allocate_layers(store, {"fc2": (6,)}, {"weights": "sha256:cd"}, "float32")
