"""A row encoded again has the error that it had among the others; alone, in parts, after a shortened step."""

from dataclasses import replace

import numpy as np
import pytest

from distspc.kernels.sparse_coding.fixed_steps import error_after_steps, rule_of_step
from distspc.kernels.sparse_coding.iteration import PAPER, STABLE
from distspc.kernels.sparse_coding.training import encode, scalar_mean

RNG = np.random.default_rng(4)
X = np.abs(RNG.standard_normal((90, 20))).astype(np.float32)
PHI = RNG.standard_normal((20, 8)) / 3


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(
    ("phi", "rule"),
    [(PHI, PAPER), (PHI, replace(PAPER, sparsity=0.02)), (PHI * 20, STABLE), (PHI, replace(PAPER, max_steps=1))],
    ids=["paper", "sparser", "shortened", "one step"],
)
def test_rows_have_the_error_that_they_had_among_all(phi, rule, precision):
    _, error, stop = encode(X, phi, rule=rule, precision=precision)
    assert (stop.step < rule.step) == (phi is not PHI)
    how = {"mean": scalar_mean(X), "n_steps": stop.n_steps, "step": stop.step, "rule": rule, "precision": precision}
    tolerance = 1e-12 if precision == "float64" else 1e-4
    np.testing.assert_allclose(error_after_steps(X, phi, **how), error, rtol=tolerance)
    np.testing.assert_allclose(error_after_steps(X[[7, 3]], phi, **how, part_rows=1), error[[7, 3]], rtol=tolerance)


def test_the_error_is_that_of_the_literal_iteration(literal):
    b = X[:5] - np.float32(0.5)
    found = error_after_steps(X[:5], PHI, mean=np.float32(0.5), n_steps=12, step=PAPER.step)
    r = np.zeros((5, 8))
    for _ in range(11):
        r = literal.S(r + literal.STEP * ((b - r @ PHI.T) @ PHI), literal.LAMBDA)
    np.testing.assert_allclose(found, np.mean((b - r @ PHI.T) ** 2, axis=1), rtol=1e-12)


def test_a_shortened_rule_is_that_which_the_code_was_made_with():
    assert rule_of_step(STABLE, STABLE.step) is STABLE
    assert rule_of_step(STABLE, 0.005).sparsity == pytest.approx(STABLE.sparsity / 2)
