"""Typicality: means over pairs of images, as brute force over all of them gives."""

import numpy as np
import pytest

from distspc.measures.base import Limits
from distspc.measures.build import place_of
from distspc.measures.registry import ChosenMeasure
from distspc.store.store import Store
from distspc.testing.stores import make_store, write_moments
from tests.measures.shared import columns, computed

SIZES = {"n_targets": 5, "n_fillers": 6, "chunks": {"image": 4, "feature": 7}}
CATEGORIES = np.array(["a", "b", "", "a", "c", "b", "", "a", "b", "b", "a"])  # c is alone


def similarities(x, similarity):
    """Similarity of every two rows; NaN for a row without a direction."""
    x = x - x.mean(axis=1, keepdims=True) if similarity == "correlation" else x
    length = np.sqrt((x**2).sum(axis=1))
    length[length < 1e-12] = np.nan
    return (x @ x.T) / length / length[:, None], x, length


def brute_force(x, categories, similarity="cosine"):
    """All three columns, pair by pair."""
    s, vectors, length = similarities(x, similarity)
    n = len(x)
    others = [[j for j in range(n) if j != i] for i in range(n)]
    known = np.isfinite(length)
    of = [[s[i, j] for j in others[i] if known[j]] for i in range(n)]
    own = [[s[i, j] for j in others[i] if known[j] and categories[j] == categories[i] != ""] for i in range(n)]
    centroid = vectors.mean(axis=0)
    return {
        "typicality": np.array([np.mean(of[i]) if known[i] else np.nan for i in range(n)]),
        "typicality_category": np.array([np.mean(own[i]) if known[i] and own[i] else np.nan for i in range(n)]),
        "centroid_similarity": vectors @ centroid / length / np.linalg.norm(centroid),
    }


def store_of(path, values, **others):
    make_store(path, layers={"fc2": values.shape[1]}, activations={"fc2": values}, **{**SIZES, **others})
    Store(path).images.write("category", CATEGORIES.tolist())


@pytest.mark.parametrize("similarity", ["cosine", "correlation"])
def test_means_are_those_over_all_pairs(tmp_path, similarity):
    values = np.random.default_rng(0).gamma(0.5, size=(11, 30)).astype(np.float32)
    values[4], values[7] = 0, 2.5  # no direction; none for the correlation
    store_of(tmp_path / "s.zarr", values)
    limits = Limits(read_nbytes=1, images=8)  # a block of two chunks, and one
    found = columns(tmp_path / "s.zarr", {"name": "typicality", "similarity": similarity}, limits=limits)
    wanted = brute_force(values.astype(float), CATEGORIES, similarity)
    for name, column in wanted.items():
        np.testing.assert_allclose(found[name], column, rtol=1e-12, atol=1e-14, err_msg=name)
    assert np.isnan(found["typicality"][4])
    assert np.isnan(found["typicality"][7]) == (similarity == "correlation")
    assert np.isnan(found["typicality_category"][2])


def test_negative_activations_and_scaled_ones(tmp_path):
    values = np.random.default_rng(1).normal(size=(11, 9)).astype(np.float32)
    store_of(tmp_path / "s.zarr", values)
    write_moments(tmp_path / "s.zarr", "fc2")
    found = columns(tmp_path / "s.zarr", "typicality", scaling="z-score")
    x = values.astype(float)
    wanted = brute_force((x - x.mean(axis=0)) / x.std(axis=0), CATEGORIES)
    np.testing.assert_allclose(found["typicality"], wanted["typicality"], rtol=0, atol=1e-7)
    assert Store(tmp_path / "s.zarr").measure("typicality").attributes["recipe"]["scaling"] == "z-score"


def test_a_study_without_categories_has_no_typicality_in_them(tmp_path):
    make_store(tmp_path / "s.zarr", layers={"fc2": 30}, **SIZES)
    Store(tmp_path / "s.zarr").images.write("category", [""] * 11)
    found = columns(tmp_path / "s.zarr", "typicality")
    assert np.isnan(found["typicality_category"]).all()
    assert np.isfinite(found["typicality"]).all()


@pytest.mark.parametrize("similarity", ["cosine", "correlation"])
def test_a_new_image_is_compared_with_all_of_the_study(tmp_path, similarity):
    given = {"name": "typicality", "similarity": similarity}
    _, values = computed(tmp_path / "s.zarr", given, layers={"fc2": 30}, **SIZES)
    new = np.random.default_rng(5).gamma(0.5, size=(3, 30)).astype(np.float32)
    place = place_of(Store(tmp_path / "s.zarr"), "fc2", ChosenMeasure.parse(given), "none")
    found = place.measure.score(place, iter(new))
    for i, one in enumerate(new):
        s, x, length = similarities(np.vstack([values, one.astype(float)]), similarity)
        assert found["typicality"][i] == pytest.approx(s[-1, :-1].mean(), rel=1e-12)
        centroid = x[:-1].mean(axis=0)
        assert found["centroid_similarity"][i] == pytest.approx(
            x[-1] @ centroid / length[-1] / np.linalg.norm(centroid), rel=1e-12
        )
    assert np.isnan(found["typicality_category"]).all()
