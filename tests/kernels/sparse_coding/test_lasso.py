"""The converged lasso code."""

from __future__ import annotations

import numpy as np

from distspc.kernels.sparse_coding.lasso import lasso_code


def test_lasso_code_satisfies_the_optimality_conditions(drawn):
    _, _, X, phi = drawn()
    B = (X - np.mean(X)).astype(float)
    code, converged = lasso_code(B, phi, 0.1, tolerance=1e-12)
    slope = (B - code @ phi.T) @ phi
    assert converged.all()
    assert (np.abs(slope) <= 0.1 + 1e-4).all()
    np.testing.assert_allclose(slope[code != 0], 0.1 * np.sign(code[code != 0]), atol=1e-4)


def test_a_penalty_beyond_all_correlations_leaves_no_code(drawn):
    _, _, X, phi = drawn()
    B = (X[:7] - np.mean(X[:7])).astype(float)
    code, converged = lasso_code(B, phi, 1.01 * np.abs(B @ phi).max())
    assert converged.all()
    assert not code.any()


def test_rows_are_encoded_one_by_one(drawn):
    _, _, X, phi = drawn()
    B = (X[:9] - np.mean(X[:9])).astype(float)
    whole, _ = lasso_code(B, phi, 0.1)
    np.testing.assert_allclose(lasso_code(B[3:5], phi, 0.1)[0], whole[3:5], atol=1e-6)
