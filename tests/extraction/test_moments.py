"""Moments of features over images: exact, whatever the tiling; only what is missing is computed."""

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.extraction import moments
from distspc.extraction.moments import compute_moments, note_moments, tasks
from distspc.store.notices import stored_notices
from distspc.store.scaling import has_moments
from distspc.store.store import Store
from distspc.testing.stores import make_store, no_compute, relu_activations, write_activations, write_moments

N_IMAGES = 90


def stored(path, layer="fc2"):
    group = Store(path).scaling(layer)
    return group.read("mean"), group.read("sd")


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "s.zarr"
    values = make_store(
        path, n_targets=30, n_fillers=60, layers={"fc2": 700, "fc1": 40}, chunks={"image": 16, "feature": 256}
    )
    return path, values


def test_moments_are_those_of_numpy_in_float64(made):
    path, values = made
    for layer, x in values.items():
        write_moments(path, layer)
        mean, sd = stored(path, layer)
        np.testing.assert_allclose(mean, x.astype(float).mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(sd, x.astype(float).std(axis=0), rtol=1e-13)


@settings(max_examples=8, deadline=None)
@given(rows=st.integers(15, 90), features=st.integers(10, 60))
def test_no_tiling_changes_a_bit(rows, features, tmp_path_factory):
    x = relu_activations(N_IMAGES, 60)
    found = []
    for chunks in ({"image": rows, "feature": features}, {"image": 16, "feature": 60}):
        path = tmp_path_factory.mktemp("tiling") / "s.zarr"
        make_store(path, n_targets=30, n_fillers=60, layers={"fc2": 60}, activations={"fc2": x}, chunks=chunks)
        write_moments(path, "fc2")
        found.append(stored(path))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n_blocks", [1, 2, 7])
def test_blocks_of_images_are_added_in_order(made, monkeypatch, n_blocks):
    path, values = made
    monkeypatch.setattr(moments, "BLOCK_IMAGES", -(-N_IMAGES // n_blocks))
    write_moments(path, "fc2")
    mean, sd = stored(path)
    np.testing.assert_allclose(mean, values["fc2"].astype(float).mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(sd, values["fc2"].astype(float).std(axis=0), rtol=1e-13)


def test_only_chunks_that_are_missing_are_computed(made):
    path, _ = made
    with no_compute():
        assert len(compute_moments(path, layers=["fc2", "fc1"])) == 3 + 1
    write_moments(path, "fc2")
    assert compute_moments(path, layers=["fc2"]) == []
    before = stored(path)
    (path / "scaling/fc2/mean/c/1").unlink()
    assert len(tasks(Store(path), "fc2")) == 1
    write_moments(path, "fc2")
    np.testing.assert_array_equal(stored(path), before)


def test_moments_of_other_activations_are_made_anew(made):
    path, values = made
    write_moments(path, "fc1")
    Store(path).layer("fc1").remove()
    write_activations(path, "fc1", 2 * values["fc1"], Store(path).images.labels("image"))
    Store(path).layer("fc1").set_attributes(recipe={"model": "another"})
    assert not has_moments(Store(path), "fc1")
    write_moments(path, "fc1")
    np.testing.assert_allclose(stored(path, "fc1")[0], 2 * values["fc1"].astype(float).mean(axis=0), rtol=1e-14)


def test_constant_features_are_counted_and_said(made):
    path, values = made
    constant = values["fc2"].copy()
    constant[:, [0, 300, 699]] = 0.1
    write_activations(path, "constant", constant, Store(path).images.labels("image"))
    write_moments(path, "constant")
    assert note_moments(Store(path), "constant") == 3
    (notice,) = stored_notices([Store(path).scaling("constant")])
    assert notice.text == ("constant: 3 of 700 features are the same in all images; `scaling: z-score` makes them 0.")
    write_moments(path, "fc2")
    assert stored_notices([Store(path).scaling("fc2")]) == []


def test_images_that_are_not_finite_do_not_spoil_the_features_of_others(made):
    path, values = made
    x = values["fc1"].copy()
    x[7, 3] = np.nan
    write_activations(path, "bad", x, Store(path).images.labels("image"))
    write_moments(path, "bad")
    assert np.isfinite(stored(path, "bad")).all()


def test_half_precision_is_summed_in_float64(made):
    path, values = made
    x = values["fc1"].astype(np.float16)
    write_activations(path, "half", x, Store(path).images.labels("image"))
    dask.compute(*compute_moments(path, layers=["half"]), scheduler="synchronous")
    np.testing.assert_allclose(stored(path, "half")[0], x.astype(float).mean(axis=0), rtol=1e-14)
