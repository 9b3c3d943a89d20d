"""One step of the inner loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from distspc.kernels.sparse_coding.iteration import PAPER, STABLE, Iteration, Rule, soft_threshold


@given(x=hnp.arrays(np.float64, 20, elements=st.floats(-2, 2)), threshold=st.floats(0, 1))
def test_soft_threshold_is_the_definition(x, threshold):
    expected = np.sign(x) * np.maximum(np.abs(x) - threshold, 0)
    np.testing.assert_array_equal(np.abs(soft_threshold(x.copy(), threshold)), np.abs(expected))


def test_a_step_is_that_of_the_method(literal, drawn):
    _, _, X, phi = drawn()
    B = (X[:20] - np.mean(X[:20])).astype(float)
    iteration = Iteration.of(B.__getitem__, phi, PAPER)
    drive, code = np.empty((20, 40)), np.empty((20, 40))
    iteration.drive(slice(0, 20), drive)
    iteration.first_step(drive, code)
    expected = literal.S(literal.STEP * (B @ phi), literal.LAMBDA)
    np.testing.assert_allclose(code, expected, rtol=0, atol=1e-14)
    after = np.empty_like(code)
    iteration.step(code, drive, after)
    expected = literal.S(code + literal.STEP * ((B - code @ phi.T) @ phi), literal.LAMBDA)
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-14)


def test_a_shortened_rule_keeps_penalty_path_and_eps():
    rule = Rule(sparsity=0.002, step=0.01, tolerance=0.05, max_steps=10).shortened(0.25)
    assert rule.sparsity / rule.step == pytest.approx(0.2)
    assert (rule.max_steps, rule.tolerance, rule.eps) == (40, 0.0125, 0.05)


@pytest.mark.parametrize(("rule", "shortened"), [(PAPER, False), (STABLE, True)])
def test_a_dictionary_that_is_too_long_gets_a_shorter_step_where_the_rule_says_so(rule, shortened):
    phi = np.eye(5) * 20  # squared norm 400, and the step converges below 200
    iteration = Iteration.of(np.zeros((3, 5)).__getitem__, phi, rule)
    assert (iteration.rule.step < rule.step) == shortened
    np.testing.assert_allclose(iteration.matrix, np.eye(5) - iteration.rule.step * phi.T @ phi)
