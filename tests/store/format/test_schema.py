"""Tests of: every stored variable, once: dimensions, data type, unit and one line of prose."""

import pytest

from distspc.store.format import schema
from distspc.store.store import Store
from distspc.testing.stores import make_store


def test_groups_are_those_of_the_schema(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=1, layers={"fc2": 4, "fc1": 3})
    store = Store(tmp_path / "s.zarr")
    assert store.layers() == ["fc1", "fc2"]
    assert store.groups() == ["activations/fc1", "activations/fc2", "images"]
    for name in set(schema.GROUPS) - set(schema.NESTED):
        assert store[name].name == name
        assert store[name].schema == schema.variables(name)
    with pytest.raises(ValueError, match="a store has no group 'distance'; it has images, "):
        store["distance"]


def test_units_of_activation_are_standard_deviations_where_features_were_standardised():
    norm, index = (schema.variables(schema.DISTANCES)[name] for name in ("norm", "neighbour_index"))
    assert schema.scaled(norm, {"scaling": "z-score"}).units == "standard deviation"
    assert schema.scaled(norm, {"scaling": "none"}) == schema.scaled(norm, {}) == norm
    assert schema.scaled(index, {"scaling": "z-score"}) == index
