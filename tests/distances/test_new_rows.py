"""Neighbours of rows that are not in the store, against brute force; rows of the store themselves left out."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from distspc.distances.checks import check_distances
from distspc.distances.new_rows import new_neighbours, row_norms
from distspc.distances.options import LayerOptions
from distspc.store.store import Store
from distspc.testing.stores import relu_activations
from tests.distances.shared import N_TARGETS

NEW = relu_activations(7, 1400, seed=99)
NOT_IN_STORE = np.full(7, -1)


def found_by(path, rows, *, positions=NOT_IN_STORE, categories=None, tile_nbytes=1, **options):
    settings = LayerOptions(**options, store=Store(path), layer="fc2")
    return new_neighbours(
        rows.copy(), settings, check_distances(settings), positions=positions, categories=categories,
        tile_nbytes=tile_nbytes,
    )  # fmt: skip


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation"])
@pytest.mark.parametrize("protocol", ["paper", "spc-public", "distinct"])
def test_neighbours_are_those_of_brute_force(relu_store, protocol, metric):
    path, x = relu_store
    rows = NEW.copy()
    rows[2] = x[60]  # identical to images 3 and 60
    distance = cdist(rows.astype(float), x.astype(float), metric)
    distance[2, [3, 60]] = 0
    if protocol == "spc-public":
        distance[:, :N_TARGETS] = np.inf
    if protocol != "paper":
        distance[distance == 0] = np.inf
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :3]
    found = found_by(path, rows, protocol=protocol, metric=metric, n_neighbours=3)
    np.testing.assert_array_equal(found.image, nearest)
    np.testing.assert_allclose(found.distance, np.take_along_axis(distance, nearest, 1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.norm, np.linalg.norm(rows.astype(float), axis=1))


def test_tiles_and_company_change_nothing(relu_store):
    path, _ = relu_store
    read = []
    whole = found_by(path, NEW, tile_nbytes=2**30)
    for one in range(len(NEW)):
        settings = LayerOptions(store=Store(path), layer="fc2")
        alone = new_neighbours(
            NEW[[one]],
            settings,
            check_distances(settings),
            positions=NOT_IN_STORE[:1],
            progress=lambda *n: read.append(n),
        )
        assert alone.distance.tolist() == whole.distance[[one]].tolist()
        assert alone.image.tolist() == whole.image[[one]].tolist()
    assert read == [(1, 1)] * len(NEW)


def test_an_image_of_the_store_is_not_its_own_neighbour(relu_store):
    path, x = relu_store
    found = found_by(path, x[[5, 33]], positions=np.array([5, 33]))
    assert found.image[0].tolist() == [0]  # identical to it
    assert 33 not in found.image[1]
    assert found.distance[0] == 0 < found.distance[1]


def test_no_image_is_its_own_neighbour_wherever_tiles_end_and_whoever_comes_before(relu_store):
    """Every image of the table, after a row that cannot be compared: the first and the last of every tile, too."""
    path, x = relu_store
    rows = np.concatenate([np.full((1, x.shape[1]), np.nan, np.float32), x])
    found = found_by(path, rows, positions=np.arange(-1, len(x)), metric="cosine")
    distance = cdist(x.astype(float), x.astype(float), "cosine")
    np.fill_diagonal(distance, np.inf)
    assert found.image[0].tolist() == [-1]
    assert (found.image[1:, 0] != np.arange(len(x))).all()
    np.testing.assert_allclose(found.distance[1:, 0], distance.min(axis=1), rtol=1e-9, atol=1e-12)


def test_neighbours_share_the_category(relu_store):
    path, _ = relu_store
    categories = np.array(["indoor", "outdoor", "nowhere", *["indoor"] * 4], dtype=object)
    found = found_by(path, NEW, categories=categories, category="category")
    assert (found.image[[0, 3, 4, 5, 6]] % 2 == 1).all()
    assert found.image[1] % 2 == 0
    assert found.image[2].tolist() == [-1]
    assert np.isnan(found.distance[2]).all()


def test_rows_that_cannot_be_compared_have_no_neighbour(relu_store):
    path, _ = relu_store
    rows = NEW.copy()
    rows[1], rows[3, 0] = 0, np.nan
    found = found_by(path, rows, metric="cosine")
    assert np.flatnonzero(found.image[:, 0] < 0).tolist() == [1, 3]
    np.testing.assert_array_equal(found.distance[[0, 2]], found_by(path, NEW, metric="cosine").distance[[0, 2]])
    assert row_norms(rows[[1]]).tolist() == [0]
