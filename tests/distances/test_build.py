"""The distances stage against brute force in float64 over x - y."""

from __future__ import annotations

import logging

import dask
import numpy as np
import pytest

from distspc.distances.build import nearest_distances
from distspc.distances.options import PROTOCOLS
from distspc.errors import InputError, StoreMismatchError
from distspc.kernels.distance.products import METRICS
from distspc.store.store import Store
from distspc.testing.stores import make_store, no_compute, relu_activations, write_moments
from tests.distances.shared import CHUNKS, CUTS, DUPLICATES, N_IMAGES, N_TARGETS, brute_force, difficult, run, stored


@CUTS
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("n_neighbours", [1, 5])
def test_equals_brute_force(relu_store, limits, metric, protocol, n_neighbours):
    path, x = relu_store
    options = {"protocol": protocol, "metric": metric, "n_neighbours": n_neighbours}
    found = run(path, limits=limits, **options, n_workers=2)
    distance, neighbour, pool = brute_force(x, N_TARGETS, **options)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-12)
    assert ((found["distance"] == 0) == (distance == 0)).all()
    np.testing.assert_allclose(found["mean_distance"], distance.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found["pool_distance"], pool, rtol=1e-6)
    np.testing.assert_allclose(found["norm"], np.linalg.norm(x.astype(float), axis=1), rtol=1e-13)


@CUTS
def test_exact_duplicates_are_reported(relu_store, limits):
    path, _ = relu_store
    duplicate_of = run(path, limits=limits)["duplicate_of"]
    assert {int(i): int(duplicate_of[i]) for i in np.flatnonzero(duplicate_of >= 0)} == {
        copy: source for source, copy in DUPLICATES
    }


@CUTS
def test_protocols_treat_duplicates_as_they_say(relu_store, limits):
    path, _ = relu_store
    found = {protocol: run(path, limits=limits, protocol=protocol) for protocol in PROTOCOLS}
    twins = [0, 3, 5, 7]
    assert (found["paper"]["distance"][twins, 0] == 0).all()
    assert found["paper"]["neighbour_index"][twins, 0].tolist() == [5, 60, 0, 61]
    assert (found["distinct"]["distance"] > 0).all()
    assert (found["spc-public"]["neighbour_index"] >= N_TARGETS).all()
    assert (found["spc-public"]["distance"] > 0).all()


DIFFICULT = (
    "near-duplicates with large norms",
    "far from the origin",
    "two far clusters",
    "constant features",
    "small numbers",
    "large numbers",
    "all sizes",
    "many ties",
    "many duplicates",
    "one image far off",
)


@CUTS
@pytest.mark.parametrize("data", DIFFICULT)
def test_equals_brute_force_on_difficult_data(tmp_path, limits, data):
    x = difficult(data, 60, 1200)
    path = tmp_path / "s.zarr"
    make_store(
        path,
        n_targets=25,
        n_fillers=35,
        layers={"fc2": 1200},
        activations={"fc2": x},
        chunks={"image": 8, "feature": 512},
    )
    for protocol in ("paper", "distinct"):
        found = run(path, limits=limits, protocol=protocol, n_neighbours=2)
        distance, neighbour, pool = brute_force(x, 25, protocol=protocol, n_neighbours=2)
        assert found["neighbour_index"].tolist() == neighbour.tolist()
        np.testing.assert_allclose(found["distance"], distance, rtol=1e-9)
        assert ((found["distance"] == 0) == (distance == 0)).all()
        np.testing.assert_allclose(found["pool_distance"], pool, rtol=1e-4)


@CUTS
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_within_a_category(relu_store, limits, protocol):
    path, x = relu_store
    category = Store(path).images.read("category")
    found = run(path, limits=limits, category="category", protocol=protocol, n_neighbours=2)
    distance, neighbour, pool = brute_force(x, N_TARGETS, category=category, protocol=protocol, n_neighbours=2)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-12)
    np.testing.assert_allclose(found["pool_distance"], pool, rtol=1e-6)


def test_dropped_duplicates_can_leave_fewer_neighbours(tmp_path, caplog):
    x = relu_activations(4, 600)
    x[1] = x[2] = x[0]
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=2, n_fillers=2, layers={"fc2": 600}, activations={"fc2": x})
    with caplog.at_level(logging.WARNING, logger="distspc.distances.build"):
        found = run(path, protocol="distinct", n_neighbours=2)
    assert found["neighbour_index"].tolist() == [[3, -1], [3, -1]]
    assert np.isnan(found["distance"][:, 1]).all()
    assert "fewer than 2 neighbours" in caplog.text


def test_same_on_threads(relu_store):
    path, x = relu_store
    Store(path).distances.remove()
    dask.compute(*nearest_distances(path, layer="fc2", n_workers=6, n_threads=1), scheduler="threads")
    assert stored(path)["neighbour_index"].tolist() == brute_force(x, N_TARGETS)[1].tolist()


def test_bytes_read_are_counted(relu_store):
    path, x = relu_store
    found = run(path, memory_nbytes=2**30)
    assert found["bytes_read"] == x.nbytes
    assert 0 < found["n_rescored"] < N_TARGETS * N_IMAGES / 4


def test_building_computes_nothing(relu_store):
    path, _ = relu_store
    Store(path).distances.remove()
    with no_compute():
        tasks = nearest_distances(path, layer="fc2")
    assert [str(task.key).split("-")[0] for task in tasks] == ["distances:fc2", "distances"]


def test_what_is_stored_is_not_done_again(relu_store):
    path, _ = relu_store
    run(path)
    assert nearest_distances(path, layer="fc2") == []
    with pytest.raises(StoreMismatchError, match='protocol was "paper", now "distinct"'):
        nearest_distances(path, layer="fc2", protocol="distinct")


def test_layers_are_added_one_by_one(tmp_path):
    path = tmp_path / "s.zarr"
    made = make_store(path, n_targets=10, n_fillers=10, layers={"fc1": 300, "fc2": 200})
    for layer, x in made.items():
        dask.compute(*nearest_distances(path, layer=layer), scheduler="synchronous")
        assert stored(path, layer)["neighbour_index"].tolist() == brute_force(x, 10)[1].tolist()
    assert stored(path, "fc1")["neighbour_index"].tolist() == brute_force(made["fc1"], 10)[1].tolist()
    assert nearest_distances(path, layer="fc1") == nearest_distances(path, layer="fc2") == []


@pytest.fixture(scope="module")
def scaled(tmp_path_factory):
    """A store with the moments of its features, and one whose activations are the standardised ones."""
    folder, x = tmp_path_factory.mktemp("scaled"), relu_activations(N_IMAGES, 1400)
    x[:, 5] = 3
    sizes = {"n_targets": N_TARGETS, "n_fillers": N_IMAGES - N_TARGETS, "layers": {"fc2": 1400}, "chunks": CHUNKS}
    make_store(folder / "raw.zarr", activations={"fc2": x}, duplicates=DUPLICATES, **sizes)
    write_moments(folder / "raw.zarr", "fc2")
    exact = x.astype(float)
    sd = exact.std(axis=0)
    z = ((exact - exact.mean(axis=0)) / np.where(sd == 0, 1, sd)).astype(np.float32)
    make_store(folder / "z.zarr", activations={"fc2": z}, **sizes)
    return folder / "raw.zarr", folder / "z.zarr", z


@CUTS
@pytest.mark.parametrize("metric", METRICS)
def test_z_scored_distances_are_exact_on_the_standardised_features(scaled, limits, metric):
    raw, standardised, z = scaled
    found = run(raw, limits=limits, metric=metric, scaling="z-score", n_neighbours=3)
    distance, neighbour, _ = brute_force(z, N_TARGETS, metric=metric, n_neighbours=3)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-12)
    plain = run(standardised, limits=limits, metric=metric, n_neighbours=3)
    for name in ("distance", "pool_distance", "norm", "duplicate_of"):
        np.testing.assert_array_equal(found[name], plain[name])
    assert found["norm"][1] == pytest.approx(np.linalg.norm(z[1].astype(float)), rel=1e-13)


def test_distances_of_another_scaling_are_refused(scaled):
    raw, standardised, _ = scaled
    run(raw, scaling="z-score")
    assert Store(raw).open()["distances"]["distance"].attrs["units"] == "standard deviation"
    with pytest.raises(StoreMismatchError, match='scaling was "z-score", now "none"'):
        nearest_distances(raw, layer="fc2")
    run(raw)
    with pytest.raises(StoreMismatchError, match='scaling was "none", now "z-score"'):
        nearest_distances(raw, layer="fc2", scaling="z-score")
    with pytest.raises(InputError, match="run the stage extract first"):
        nearest_distances(standardised, layer="fc2", scaling="z-score")


def test_distances_of_a_store_from_before_scaling_are_unscaled(scaled):
    raw, _, _ = scaled
    run(raw)
    group = Store(raw).distances
    group.set_attributes(recipe={key: value for key, value in group.attributes["recipe"].items() if key != "scaling"})
    assert nearest_distances(raw, layer="fc2") == []
    with pytest.raises(StoreMismatchError, match='scaling was "none", now "z-score"'):
        nearest_distances(raw, layer="fc2", scaling="z-score")
