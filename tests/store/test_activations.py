"""Activations of layers: allocated once, missing chunks by number, shapes without the network."""

import tracemalloc

import numpy as np
import pytest

from distspc.errors import InputError, StoreMismatchError
from distspc.store.activations import (
    allocate_layers,
    ask_again,
    give_back,
    images_of,
    left_of_given_back,
    missing_chunks,
    missing_layers,
    refuse_given_back,
    stored_shapes,
    when_given_back,
    write_rows,
)
from distspc.store.group import folder_nbytes
from distspc.store.store import Store
from distspc.testing.stores import image_ids, make_store, write_image_table

RECIPE = {"weights": "sha256:ab"}


@pytest.fixture
def store(tmp_path):
    write_image_table(tmp_path / "s.zarr", image_ids(70, 30), 70)
    return Store(tmp_path / "s.zarr")


def test_rows_are_written_with_a_copy_of_one_chunk_of_features_at_a_time(store):
    allocate_layers(store, {"wide": (100_352,)}, RECIPE, "float32")
    values = np.random.default_rng(0).random((64, 100_352), np.float32)
    tracemalloc.start()
    write_rows(store, "wide", slice(0, 64), values)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < values.nbytes
    assert np.array_equal(store.layer("wide").read("activation", image=slice(0, 64)), values)
    assert list(missing_chunks(store, ["wide"])) == [1]


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


@pytest.fixture
def layer(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=70, n_fillers=30, layers={"fc2": 6})
    return Store(tmp_path / "s.zarr").layer("fc2")


def test_what_is_given_back_leaves_all_but_its_files(layer):
    before, store = dict(layer.attributes), Store(layer.store)
    assert not layer.given_back
    kept = {name: value for name, value in before.items() if name != "given_back"}
    sizes, chunks, nbytes = layer.sizes, layer.chunks("activation"), folder_nbytes(layer.path / "activation")
    assert give_back(store, "fc2") == nbytes > 100 * 6
    again = store.layer("fc2")
    assert again.given_back
    assert (again.sizes, again.chunks("activation")) == (sizes, chunks)
    assert {name: value for name, value in again.attributes.items() if name != "given_back"} == kept
    assert again.attributes["given_back"]["nbytes"] == nbytes
    assert len(again.labels("image")) == 100
    assert not (again.path / "activation").exists()
    assert "given back" in when_given_back(again)
    with pytest.raises(InputError, match=r"was given back on .* --extract-again"):
        again.read("activation")
    with pytest.raises(InputError, match="was given back"):
        give_back(store, "fc2")
    with pytest.raises(InputError, match="fc2: its activations are needed"):
        refuse_given_back(store, "fc2")


def test_what_is_given_back_is_missing_only_once_it_is_asked_for(layer):
    store, recipe = Store(layer.store), layer.attributes["recipe"]
    values = layer.read("activation")
    give_back(store, "fc2")
    assert missing_layers(store, ["fc2"], recipe) == []
    allocate_layers(store, {"fc2": (6,)}, recipe, "float32")
    assert store.layer("fc2").given_back
    with pytest.raises(StoreMismatchError):
        missing_layers(store, ["fc2"], {"weights": "others"})
    ask_again(store, "fc2")
    assert store.layer("fc2").sizes["feature"] == 6
    assert missing_layers(store, ["fc2"], recipe) == ["fc2"]
    allocate_layers(store, {"fc2": (6,)}, recipe, "float32")
    group = store.layer("fc2")
    assert "given_back" not in group.attributes
    assert missing_chunks(store, ["fc2"]) == {0: ("fc2",), 1: ("fc2",)}
    for i in range(2):
        group.write("activation", values[images_of(store, "fc2", i)], image=images_of(store, "fc2", i))
    np.testing.assert_array_equal(group.read("activation"), values)


def test_files_that_a_stop_has_left_of_what_is_given_back_go(layer):
    store = Store(layer.store)
    left = layer.path / "activation/c/1/0"
    content = left.read_bytes()
    give_back(store, "fc2")
    left.parent.mkdir(parents=True)
    left.write_bytes(content)
    assert store.layer("fc2").given_back
    assert left_of_given_back(store, "fc2") == len(content)
    assert give_back(store, "fc2") == len(content)
    assert left_of_given_back(store, "fc2") == 0
    left.parent.mkdir(parents=True)
    left.write_bytes(content)
    ask_again(store, "fc2")
    allocate_layers(store, {"fc2": (6,)}, store.layer("fc2").attributes["recipe"], "float32")
    assert missing_chunks(store, ["fc2"]) == {0: ("fc2",), 1: ("fc2",)}


def test_nothing_is_removed_through_a_link(layer, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (layer.path / "activation").rename(elsewhere)
    (layer.path / "activation").symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    with pytest.raises(InputError, match=r"is a link to .*elsewhere: nothing is removed through it"):
        give_back(Store(layer.store), "fc2")
    assert not layer.given_back
    assert sorted(elsewhere.rglob("*")) == before
