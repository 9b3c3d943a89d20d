"""Which layers of other stores the same network made."""

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.reuse import OtherStore, find_donors, find_origins, group_chunks, refuse_no_store, why_not
from distspc.store.activations import give_back
from distspc.store.rows import Donor, find_origin
from distspc.store.store import Store
from distspc.testing.stores import make_store

RECIPE = {"model": "synthetic", "shape": [7]}


@pytest.fixture
def other(tmp_path):
    make_store(tmp_path / "a.zarr", n_targets=200, n_fillers=0, layers={"fc2": 7, "fc2@vgg": 7})
    return OtherStore(Store(tmp_path / "a.zarr"), "a.zarr")


def test_a_layer_of_the_same_recipe_is_found_under_any_network_s_name(other, tmp_path):
    store = Store(tmp_path / "s.zarr")
    donors = find_donors(store, {"fc2": {**RECIPE, "images": "others"}}, [other])
    assert [donor.layer for donor in donors["fc2"]] == ["fc2"]
    donors = find_donors(store.of_model("vgg"), {"fc2": RECIPE}, [other])
    assert [donor.layer for donor in donors["fc2"]] == ["fc2@vgg"]
    make_store(store, n_targets=3, n_fillers=0, layers={})
    assert why_not(store, "fc2", RECIPE, other) == ""


def test_why_nothing_is_taken_names_the_key_or_the_layer(other, tmp_path):
    store = Store(tmp_path / "s.zarr")
    assert find_donors(store, {"fc2": {**RECIPE, "model": "x"}}, [other]) == {"fc2": []}
    assert 'model was "synthetic", now "x"' in why_not(store, "fc2", {**RECIPE, "model": "x"}, other)
    assert why_not(store, "fc9", RECIPE, other) == "a.zarr has no activations of fc9"


def test_activations_that_were_given_back_are_not_taken(other, tmp_path):
    give_back(other.store, "fc2")
    donors = find_donors(Store(tmp_path / "s.zarr"), {"fc2": RECIPE}, [other])
    assert [donor.layer for donor in donors["fc2"]] == ["fc2@vgg"]


def test_few_new_images_of_many_chunks_make_full_batches(other, tmp_path):
    store = other.store
    digests = store.images.read("digest").tolist()
    for at in (3, 70, 71, 199):
        digests[at] = f"new{at}"
    origin = find_origin([Donor(store, "fc2", "a.zarr")], digests)
    wanted = {i: ("fc2",) for i in range(4)}
    groups = group_chunks(store, wanted, {"fc2": origin}, 16)
    assert [[one.chunk for one in group] for group in groups] == [[0, 1, 3], [2]]
    assert [int(one.is_new.sum()) for group in groups for one in group] == [1, 2, 1, 0]
    groups = group_chunks(store, wanted, {"fc2": origin}, 3)
    assert [[one.chunk for one in group] for group in groups] == [[0, 1], [2], [3]]
    groups = group_chunks(store, wanted, {"fc2": origin}, 2)
    assert [[one.chunk for one in group] for group in groups] == [[0], [1], [2], [3]]
    assert np.array_equal(find_origins(store, {"fc2": [Donor(store, "fc2", "")]})["fc2"].row, np.arange(200))


def test_what_is_no_store_or_the_study_s_own_is_refused(other, tmp_path):
    with pytest.raises(InputError, match="which is no store of a study"):
        refuse_no_store([OtherStore(Store(tmp_path / "none.zarr"), "none.zarr")], other.store)
    with pytest.raises(InputError, match="the study's own store"):
        refuse_no_store([other], other.store)
    refuse_no_store([other], Store(tmp_path / "s.zarr"))
