"""Measures by image and layer, whatever the order in which the store holds them."""

import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.results.tidy import image_table, measured_layers, reconstruction_errors, target_table, tidy_table
from distspc.store.store import Store
from distspc.testing.stores import image_ids, make_store, write_measures

IDS = image_ids(5, 3)


@pytest.fixture
def store(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=5, n_fillers=3, layers={"fc2": 4})
    write_measures(tmp_path / "s.zarr", IDS, 5, ["fc2", "block5_pool"], seeds=(3, 1))
    return Store(tmp_path / "s.zarr")


def test_values_are_those_of_the_store_by_label(store):
    table = tidy_table(store).set_index(["layer", "image"])
    distances = store.distances.load("distance", "norm", layer="block5_pool")
    errors = store.reconstruction.load("error", layer="block5_pool")["error"]
    for image in IDS[:5]:
        row = table.loc[("block5_pool", image)]
        assert row["distinctiveness"] == float(distances["distance"].sel(target=image).isel(neighbour=0))
        assert row["norm"] == float(distances["norm"].sel(image=image))
        np.testing.assert_allclose(row["reconstruction_error"], float(errors.sel(image=image).mean()), rtol=1e-12)
        nearest = store.distances.load("neighbour_index", layer="block5_pool")["neighbour_index"]
        assert row["neighbour"] == IDS[int(nearest.sel(target=image).isel(neighbour=0))]


def test_errors_by_seed(store):
    errors = reconstruction_errors(store, "fc2", [1])
    assert list(errors.columns) == [1]
    assert list(errors.index) == IDS
    assert errors.index.name is None
    assert reconstruction_errors(store, "fc1").empty


def test_layers_that_have_a_measure_go_from_the_image_upward(store):
    assert measured_layers(store) == ["block5_pool", "fc2"]
    assert list(dict.fromkeys(tidy_table(store)["layer"])) == ["block5_pool", "fc2"]
    assert set(tidy_table(store, layers=["fc2"])["layer"]) == {"fc2"}


def test_targets_come_first_and_a_store_without_images_says_so(store, tmp_path):
    assert image_table(store)["role"].tolist() == ["target"] * 5 + ["filler"] * 3
    assert isinstance(target_table(store), pd.DataFrame)
    assert len(target_table(store)) == 5
    with pytest.raises(InputError, match="holds no images yet"):
        target_table(Store(tmp_path / "no.zarr"))
