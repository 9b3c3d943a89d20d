"""Tests of: what a store says about how it was made and what went wrong, as plain data for the report."""

import pytest

from distspc.report import provenance
from distspc.store.store import Store
from distspc.testing.stores import make_store


def test_recipes_as_text():
    assert provenance.flattened({"n_units": 3, "a": {"b-c": [1, 2]}, "none": None}) == {"n units": "3", "a b c": "1, 2"}


@pytest.mark.parametrize(
    ("recipe", "random"),
    [
        ({"architecture": "vgg16", "weights": "random:he-uniform:0"}, True),
        ({"architecture": "resnet50", "weights": "keras.applications:imagenet", "note": "weights: random"}, False),
        ({"architecture": "imported", "images": "imported:4:2"}, False),
        ({}, False),
    ],
)
def test_random_weights_are_those_of_the_stored_network(recipe, random, tmp_path):
    store = Store(tmp_path / "study.zarr")
    store.layer("fc2").allocate(coords={"image": ["a"], "feature": 2}, chunks={}, recipe=recipe)
    assert provenance.has_random_weights(store) is random


def test_what_is_kept_of_layers_is_told_by_layer_where_they_differ(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=1, layers={"fc2": 4, "blocks.11": 3})
    store = Store(tmp_path / "s.zarr")
    (made,) = provenance.stages(store, ["fc2", "blocks.11"])
    assert "pooling" not in made.settings
    recipe = store.layer("blocks.11").attributes["recipe"]
    store.layer("blocks.11").set_attributes(recipe={**recipe, "pooling": "cls"})
    (made,) = provenance.stages(store, ["fc2", "blocks.11"])
    assert made.settings["pooling"] == "fc2 none, blocks.11 cls"
    (made,) = provenance.stages(store, ["blocks.11"])
    assert made.settings["pooling"] == "cls"
    store.layer("blocks.11").set_attributes(recipe={**recipe, "pooling": "mean"}, prefix_tokens=5)
    (made,) = provenance.stages(store, ["fc2", "blocks.11"])
    assert made.settings["pooling"] == "fc2 none, blocks.11 mean (without 5 prefix tokens)"


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ({"architecture": "vgg16"}, "Keras"),
        ({"architecture": "vgg16", "engine": "onnx"}, "ONNX Runtime"),
        ({"architecture": "onnx"}, "ONNX Runtime"),
        ({"architecture": "timm:vit"}, "timm"),
        ({"architecture": "imported"}, None),
    ],
)
def test_the_engine_is_named_with_the_settings_of_activations(recipe, name, tmp_path):
    store = Store(tmp_path / "study.zarr")
    store.layer("fc2").allocate(coords={"image": ["a"], "feature": 2}, chunks={}, recipe=recipe)
    (made,) = provenance.stages(store, ["fc2"])
    assert made.settings.get("engine") == name
