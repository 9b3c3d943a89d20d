"""The handle of a store: a path to others, itself to workers, and the only one that knows its groups' names."""

import pickle
import re
from pathlib import Path

import distspc
from distspc.store.store import Store
from distspc.testing.stores import make_store

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


def test_nobody_else_spells_the_name_of_a_layers_group():
    spelt = re.compile(
        r"activations/[{%]|\[\"(images|distances|reconstruction|relations)\"\]\.(read|write|allocate|labels)"
    )
    others = (file for file in PACKAGE.rglob("*.py") if file.parent.name != "store")
    found = {str(f.relative_to(PACKAGE)) for f in others if spelt.search(f.read_text())}
    assert found == set()
