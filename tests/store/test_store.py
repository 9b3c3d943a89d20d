"""The handle of a store: a path to others, itself to workers, and the only one that knows its groups' names."""

import pickle
import re
from pathlib import Path

from dask.base import tokenize

import distspc
from distspc.store.store import Store
from distspc.testing.stores import image_ids, make_store, write_image_table, write_measures

PACKAGE = Path(distspc.__file__).parent


def test_a_store_is_its_path(tmp_path):
    store = Store(tmp_path / "s.zarr")
    assert Store(store) == store == pickle.loads(pickle.dumps(store))
    assert {store: 1}[Store(str(tmp_path / "s.zarr"))] == 1
    assert Path(store) == store.path
    assert len(pickle.dumps(store)) < 200
    assert not store.exists()
    assert store.attributes == {}
    assert store.layers() == store.groups() == []


def test_variables_come_with_their_labels(tmp_path):
    path = tmp_path / "s.zarr"
    values = make_store(path, n_targets=2, n_fillers=1, layers={"fc2": 4})["fc2"]
    found = Store(path).layer("fc2").load("activation")["activation"]
    assert found.dims == ("image", "feature")
    assert found.sel(image="fillers/1").values.tolist() == values[2].tolist()
    one = Store(path).layer("fc2").load("activation", image="targets/2")["activation"]
    assert one.values.tolist() == values[1].tolist()


def test_one_network_of_several_has_its_layers_by_their_own_names(tmp_path):
    store = Store(tmp_path / "s.zarr")
    clip = store.of_model("clip")
    assert clip.layer("/a/b").name == store.layer("/a/b@clip").name == "activations/%2Fa%2Fb@clip"
    assert clip.scaling("/a/b").name == "scaling/%2Fa%2Fb@clip"
    assert clip.images.name == store.images.name
    assert store.of_model("") is store
    assert pickle.loads(pickle.dumps(clip)) == clip != store
    assert len({clip, store, store.of_model("vgg"), store.of_model("clip")}) == 3
    assert tokenize(clip) != tokenize(store.of_model("vgg"))


def test_an_opened_store_has_the_model_beside_the_layer(tmp_path):
    path, ids = tmp_path / "s.zarr", image_ids(3, 2)
    write_image_table(path, ids, 3)
    write_measures(path, ids, 3, ["a@clip", "b@clip", "a@vgg"])
    distances = Store(path).open()["distances"]
    assert distances["model"].values.tolist() == ["clip", "clip", "vgg"]
    assert distances["distance"].sel(layer=distances["model"] == "clip")["layer"].values.tolist() == [
        "a@clip", "b@clip",
    ]  # fmt: skip


def test_the_layers_of_one_network_have_no_model(tmp_path):
    path, ids = tmp_path / "s.zarr", image_ids(3, 2)
    write_image_table(path, ids, 3)
    write_measures(path, ids, 3, ["a", "outer/b"])
    assert "model" not in Store(path).open()["distances"].variables


def test_nobody_else_spells_the_name_of_a_layers_group():
    spelt = re.compile(
        r"activations/[{%]|\[\"(images|distances|reconstruction|relations)\"\]\.(read|write|allocate|labels)"
    )
    others = (file for file in PACKAGE.rglob("*.py") if file.parent.name != "store")
    found = {str(f.relative_to(PACKAGE)) for f in others if spelt.search(f.read_text())}
    assert found == set()
