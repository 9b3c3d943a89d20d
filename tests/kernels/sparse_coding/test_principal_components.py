"""Principal components, in parts of rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from distspc.kernels.sparse_coding.principal_components import first_component_share, principal_components, row_parts
from distspc.testing.stores import relu_activations


def test_principal_components_are_those_of_scikit_learn(activations):
    model = principal_components(activations, 20)
    pca = PCA(20, svd_solver="full").fit(activations.astype(float))
    residual = activations - pca.inverse_transform(pca.transform(activations.astype(float)))
    np.testing.assert_allclose(model.error(activations), np.mean(residual**2, axis=1), rtol=1e-9)
    with pytest.raises(ValueError, match="301 components of 300 rows"):
        principal_components(activations, 301)


def test_share_of_the_first_component_is_that_of_the_singular_values():
    X = relu_activations(60, 30)
    squares = np.linalg.svd(X - X.mean(axis=0), compute_uv=False) ** 2
    assert first_component_share(X) == pytest.approx(squares[0] / squares.sum())
    assert first_component_share(np.ones((5, 3), np.float32)) == 0


def test_parts_of_rows_change_nothing(activations):
    whole, parts = (principal_components(activations, 5, part_rows=n) for n in (4096, 7))
    np.testing.assert_allclose(parts.error(activations), whole.error(activations), rtol=1e-9)


def test_row_parts_cover_all_rows_within_their_bytes():
    parts = row_parts(10, 4, nbytes=3 * 8 * 4)
    assert [(part.start, part.stop) for part in parts] == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert row_parts(2, 1000, nbytes=1) == [slice(0, 1), slice(1, 2)]
