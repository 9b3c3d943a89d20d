"""Measures by image and layer, whatever the order in which the store holds them."""

import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.kernels.statistics.reliability import seed_reliability
from distspc.results.tidy import (
    image_table,
    measured_layers,
    reconstruction_errors,
    target_errors,
    target_positions,
    target_table,
    tidy_table,
)
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


def test_errors_of_targets_are_those_of_seeds_that_are_done(store):
    errors = target_errors(store, "fc2")
    pd.testing.assert_frame_equal(errors, reconstruction_errors(store, "fc2").iloc[:5])
    store.reconstruction.allocate(
        coords={"layer": ["fc2"], "seed": [3, 1, 7], "image": IDS, "batch": 20}, chunks={}, recipe={"units": 9},
        variables=("error",),
    )  # fmt: skip
    assert list(reconstruction_errors(store, "fc2").columns) == [3, 1, 7]
    pd.testing.assert_frame_equal(target_errors(store, "fc2"), errors)
    assert target_errors(store, "fc2", [7]).empty
    assert target_errors(store, "fc1").empty


def test_columns_over_seeds_are_of_all_images_and_the_rest_of_targets(store):
    errors = reconstruction_errors(store, "fc2")
    table = tidy_table(store, layers=["fc2"])
    np.testing.assert_array_equal(table["reconstruction_error_sd"], errors.iloc[:5].std(axis=1, ddof=1))
    reliability = seed_reliability(errors.to_numpy().T)  # fillers count too
    assert set(table["reconstruction_error_icc"]) == {reliability.icc}
    assert set(table["reconstruction_error_reliability"]) == {reliability.mean_icc}


def test_targets_are_found_by_role_and_images_by_name(store):
    store.images.write("role", ["filler", "target", "filler", "target", "filler", "target", "target", "target"])
    assert target_positions(store).tolist() == [1, 3, 5, 6, 7]
    pd.testing.assert_frame_equal(target_table(store), image_table(store).iloc[[1, 3, 5, 6, 7]].reset_index(drop=True))
    named = image_table(store, {IDS[6], IDS[0], "no image"})
    pd.testing.assert_frame_equal(named, image_table(store).iloc[[0, 6]].reset_index(drop=True))
    assert image_table(store, set()).empty


def test_a_target_without_a_neighbour_names_none(store):
    index = store.distances.read("neighbour_index", layer=slice(0, 1))
    index[0, 2] = -1
    store.distances.write("neighbour_index", index, layer=slice(0, 1))
    assert tidy_table(store, layers=["fc2"])["neighbour"].tolist()[2] == ""


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
