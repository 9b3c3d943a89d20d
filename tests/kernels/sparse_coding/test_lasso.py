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


def duality_gap(b, code, phi, penalty):
    """Of one row, by its definition: least of the objective less the dual at the residual, made feasible."""
    residual = b - phi @ code
    dual = residual * min(1.0, penalty / np.abs(phi.T @ residual).max())
    objective = residual @ residual / 2 + penalty * np.abs(code).sum()
    return objective - (b @ b / 2 - (b - dual) @ (b - dual) / 2)


def test_rows_that_converged_are_as_near_the_minimum_as_the_tolerance_says():
    """Codewords that are nearly the same: the minimum comes near a little at a time."""
    rng = np.random.default_rng(0)
    phi = rng.standard_normal((30, 1)) + 0.1 * rng.standard_normal((30, 20))
    phi /= np.linalg.norm(phi, axis=0)
    B = rng.standard_normal((12, 30))
    for tolerance in (1e-3, 1e-6, 1e-8):
        code, converged = lasso_code(B, phi, 0.01, tolerance=tolerance)
        assert converged.all()
        gaps = np.array([duality_gap(b, r, phi, 0.01) / (b @ b / 2) for b, r in zip(B, code, strict=True)])
        assert (gaps <= tolerance * (1 + 1e-6)).all()
        assert gaps.max() > tolerance / 50  # no further than asked
