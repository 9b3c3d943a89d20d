"""Density: as scikit-learn gives it, image by image, each left out of its own density."""

import math

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity, NearestNeighbors

from distspc.errors import InputError
from distspc.measures import build, density
from distspc.measures.base import Limits
from distspc.measures.build import place_of
from distspc.measures.density import best_bandwidth, local_density, log_density, squared_distances
from distspc.measures.registry import ChosenMeasure
from distspc.store.notices import stored_notices
from distspc.store.store import Store
from tests.measures.shared import computed

SIZES = {"n_targets": 20, "n_fillers": 40, "layers": {"fc2": 30}}


def left_out(points, bandwidth):
    """Log density at every point of a kernel density of all others."""
    others = [np.delete(points, i, axis=0) for i in range(len(points))]
    fitted = [KernelDensity(bandwidth=bandwidth).fit(some) for some in others]
    return np.array([kde.score_samples(points[i : i + 1])[0] for i, kde in enumerate(fitted)])


def by_neighbours(points, k):
    distances = NearestNeighbors(n_neighbors=k + 1).fit(points).kneighbors(points)[0][:, k]
    n, d = points.shape
    ball = math.pi ** (d / 2) / math.gamma(d / 2 + 1)
    return np.log(k / ((n - 1) * ball * distances**d))


def test_it_is_what_scikit_learn_gives_in_the_first_components(tmp_path):
    found, values = computed(tmp_path / "s.zarr", {"name": "density", "neighbours": 5}, **SIZES)
    points = PCA(10, svd_solver="full").fit_transform(values)
    bandwidth = Store(tmp_path / "s.zarr").reference("density", "fc2").attributes["bandwidth"]
    np.testing.assert_allclose(found["density_nll"], -left_out(points, bandwidth), rtol=1e-9)
    np.testing.assert_allclose(found["local_density"], by_neighbours(points, 5), rtol=1e-9)
    best = left_out(points, bandwidth).sum()
    for factor in (0.5, 0.9, 1.1, 2):
        assert left_out(points, factor * bandwidth).sum() < best


def test_the_bandwidth_is_the_most_likely_of_all(tmp_path):
    points = np.random.default_rng(0).normal(size=(40, 2)) * [3, 1]
    found = best_bandwidth([squared_distances(points[:25], points, 0), squared_distances(points[25:], points, 25)], 2)
    candidates = np.geomspace(0.05, 10, 400)
    likelihood = [left_out(points, h).sum() for h in candidates[::8]]
    assert abs(math.log(found / candidates[::8][int(np.argmax(likelihood))])) < math.log(candidates[8] / candidates[0])
    with pytest.raises(ValueError, match="all images have the same activations"):
        best_bandwidth([squared_distances(np.ones((5, 2)), np.ones((5, 2)), 0)], 2)


def test_identical_images_are_at_distance_0():
    points = np.random.default_rng(0).normal(size=(6, 3)) + 1e4
    points[4] = points[1]
    squares = squared_distances(points, points, 0)
    assert squares[1, 4] == squares[4, 1] == 0
    assert np.isinf(np.diag(squares)).all()
    off = ~np.eye(6, dtype=bool)
    exact = ((points[:, None] - points) ** 2).sum(axis=2)
    np.testing.assert_allclose(squares[off], exact[off], rtol=1e-6)
    assert np.isnan(local_density(squares, 1, 3)).tolist() == [i in (1, 4) for i in range(6)]
    assert np.isfinite(log_density(squares, 0.5, 3)).all()


def test_blocks_change_nothing(tmp_path):
    whole, _ = computed(tmp_path / "s.zarr", "density", **SIZES)
    chunks = {"image": 16, "feature": 8}
    cut, _ = computed(tmp_path / "t.zarr", "density", chunks=chunks, limits=Limits(read_nbytes=1, images=7), **SIZES)
    for name in whole:
        np.testing.assert_allclose(cut[name], whole[name], rtol=1e-9)


def test_of_a_wide_layer_units_are_drawn(tmp_path):
    given = {"name": "density", "units": 12, "dimensions": 3, "seed": 4}
    found, values = computed(tmp_path / "s.zarr", given, **SIZES)
    units = np.random.RandomState(4).choice(30, 12, replace=False)
    chosen, store = ChosenMeasure.parse(given), Store(tmp_path / "s.zarr")
    build.note(store, chosen, ["fc2"])
    assert [notice.text for notice in stored_notices([store.measure("density")])] == [
        "Density takes 12 features, drawn at random (`units`), of fc2 (30)."
    ]
    points = PCA(3, svd_solver="full").fit_transform(values[:, units])
    bandwidth = Store(tmp_path / "s.zarr").reference("density", "fc2").attributes["bandwidth"]
    np.testing.assert_allclose(found["density_nll"], -left_out(points, bandwidth), rtol=1e-9)


def test_a_new_image_is_placed_among_those_of_the_study(tmp_path):
    given = {"name": "density", "dimensions": 4, "neighbours": 3}
    _, values = computed(tmp_path / "s.zarr", given, **SIZES)
    new = np.random.default_rng(3).gamma(1, size=(2, 30)).astype(np.float32)
    place = place_of(Store(tmp_path / "s.zarr"), "fc2", ChosenMeasure.parse(given), "none")
    found = place.measure.score(place, iter(new))
    pca = PCA(4, svd_solver="full").fit(values)
    kde = KernelDensity(bandwidth=place.reference.attributes["bandwidth"]).fit(pca.transform(values))
    np.testing.assert_allclose(found["density_nll"], -kde.score_samples(pca.transform(new)), rtol=1e-9)
    third = NearestNeighbors(n_neighbors=3).fit(pca.transform(values)).kneighbors(pca.transform(new))[0][:, 2]
    np.testing.assert_allclose(found["local_density"], np.log(3 / (60 * math.pi**2 / 2 * third**4)), rtol=1e-9)


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="density of layer fc2: 10 neighbours of each of 5 images; lower `neighbours`"):
        computed(tmp_path / "s.zarr", "density", n_targets=3, n_fillers=2, layers={"fc2": 8})


def test_identical_points_far_from_the_origin_are_at_distance_0():
    rng = np.random.default_rng(0)
    points = 1e4 + rng.normal(size=(40, 3))
    points[7], points[9] = points[3], points[3] + 1e-5
    squares = density.squared_distances(points, points, 0)
    assert squares[3, 7] == squares[7, 3] == 0
    assert squares[3, 9] == pytest.approx(3e-10, rel=1e-4)
    assert np.isnan(density.local_density(squares, 1, 3)[[3, 7]]).all()


def test_points_of_all_tiles_are_not_their_own_neighbours():
    points = np.random.default_rng(0).normal(size=(density.TILE_ROWS + 40, 2))
    found = density._columns(points[10:], points, 0.3, 2, own=10)
    squares = ((points[10:, None] - points) ** 2).sum(axis=2)
    squares[np.arange(len(squares)), 10 + np.arange(len(squares))] = np.inf
    kernels = np.exp(-squares / (2 * 0.3**2)).sum(axis=1) / (len(points) - 1) / (2 * np.pi * 0.3**2)
    np.testing.assert_allclose(found["density_nll"], -np.log(kernels), rtol=1e-9)
    second = np.sort(squares, axis=1)[:, 1]
    np.testing.assert_allclose(found["local_density"], np.log(2 / (len(points) - 1) / (np.pi * second)), rtol=1e-9)


def test_there_are_fewer_components_than_images_and_more_images_than_neighbours():
    assert [density._dimensions(10, *size) for size in ((5, 20), (50, 20), (50, 6))] == [4, 10, 6]
    options = density.DensityOptions(neighbours=10)
    assert density.MEASURE.problem(11, options) == ""
    assert density.MEASURE.problem(10, options).startswith("10 neighbours of each of 10 images")
