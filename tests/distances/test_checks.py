"""Tests of: what distances cannot be computed from is refused, by name."""

from __future__ import annotations

import numpy as np
import pytest

from distspc.distances.build import nearest_distances
from distspc.errors import InputError
from distspc.store.store import Store
from distspc.testing.stores import make_store, relu_activations
from tests.distances.shared import CHUNKS, CUTS, run


@CUTS
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("image", "name"), [(3, "targets/4"), (35, "fillers/16")])
def test_activations_that_are_not_finite(tmp_path, limits, value, image, name):
    x = relu_activations(50, 1100)
    x[image, 700] = value
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=20, n_fillers=30, layers={"fc2": 1100}, activations={"fc2": x}, chunks=CHUNKS)
    with pytest.raises(InputError, match=f"fc2: NaN or infinite activations of image {name}; extract"):
        run(path, limits=limits)


@CUTS
@pytest.mark.parametrize(
    ("metric", "value", "lacking"), [("cosine", 0, "are all 0"), ("correlation", 4, "do not vary")]
)
def test_rows_that_the_metric_cannot_scale(tmp_path, limits, metric, value, lacking):
    x = relu_activations(50, 1100)
    x[[3, 44]] = value
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=20, n_fillers=30, layers={"fc2": 1100}, activations={"fc2": x}, chunks=CHUNKS)
    with pytest.raises(InputError, match=f"fc2: the activations of image targets/4 {lacking}[ ,]"):
        run(path, limits=limits, metric=metric)


def test_layer_without_variance(tmp_path):
    x = np.full((12, 600), 3, dtype=np.float32)
    make_store(tmp_path / "s", n_targets=5, n_fillers=7, layers={"fc2": 600}, activations={"fc2": x})
    with pytest.raises(InputError, match="fc2: the activations do not vary, all 12 images have the same"):
        run(tmp_path / "s")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "papre"}, "protocol is 'papre'; it must be one of paper, spc-public, distinct"),
        ({"metric": "l1"}, "metric is 'l1'; it must be one of euclidean, cosine, correlation"),
        ({"n_neighbours": 0}, "n_neighbours is 0; it must be a whole number from 1"),
        ({"n_workers": 0}, "n_workers is 0; it must be a whole number from 1"),
        ({"n_threads": -1}, "n_threads is -1; it must be a whole number from 1"),
        ({"n_neighbours": True}, "n_neighbours is True; it must be a whole number from 1"),
        ({"n_neighbours": 90}, "fc2: `neighbours` is 90, but the comparison set has 89 images; lower `neighbours`"),
        (
            {"n_neighbours": 61, "protocol": "spc-public"},
            "fc2: `neighbours` is 61, but the comparison set has 60 images",
        ),
        ({"category": "category", "n_neighbours": 45}, "but indoor has 44, outdoor has 44 in the comparison set"),
        ({"category": "kind"}, "holds no variable 'kind' in 'images'"),
        ({"memory_nbytes": 1000}, "fc2: the smallest distance task needs .* and may use 1000 B"),
    ],
)
def test_settings_that_cannot_be_used(relu_store, options, message):
    path, _ = relu_store
    with pytest.raises(InputError, match=message):
        nearest_distances(path, layer="fc2", **options)


def test_no_fillers(tmp_path):
    make_store(tmp_path / "s", n_targets=5, n_fillers=0, layers={"fc2": 50})
    with pytest.raises(InputError, match="fc2: protocol spc-public looks for neighbours among the fillers"):
        nearest_distances(tmp_path / "s", layer="fc2", protocol="spc-public")
    assert (run(tmp_path / "s")["distance"] > 0).all()


def test_no_targets(tmp_path):
    make_store(tmp_path / "s", n_targets=0, n_fillers=5, layers={"fc2": 50})
    with pytest.raises(InputError, match="fc2: no targets in the image table"):
        nearest_distances(tmp_path / "s", layer="fc2")


def test_a_target_without_category(tmp_path):
    make_store(tmp_path / "s", n_targets=3, n_fillers=5, layers={"fc2": 50})
    Store(tmp_path / "s").images.write("category", ["a", "", "a", "a", "a", "a", "a", "a"])
    with pytest.raises(InputError, match=r"fc2: 1 target has no category \(targets/2\)"):
        nearest_distances(tmp_path / "s", layer="fc2", category="category")


def test_missing_activations(tmp_path):
    path = tmp_path / "s"
    make_store(path, n_targets=3, n_fillers=5, layers={"fc2": 50}, chunks={"image": 4})
    with pytest.raises(InputError, match="holds no 'activations/fc1'"):
        nearest_distances(path, layer="fc1")
    (path / "activations/fc2/activation/c/1/0").unlink()
    with pytest.raises(InputError, match="fc2: 1 chunk of activations is missing; run the stage extract"):
        nearest_distances(path, layer="fc2")
