"""Bounds that tell when the inner loop stops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from distspc.kernels.sparse_coding import spectral, stopping


@given(codes=hnp.arrays(np.float64, (6, 4, 3), elements=st.floats(-3, 3)))
def test_line_bounds_enclose_the_norms_inside_a_pass(codes):
    norms = [np.linalg.norm(code, 2) for code in codes]
    squares = np.einsum("jrk,jrk->j", codes, codes)
    bounds = stopping.line_bounds(squares, stopping.end_products(codes), norms[0], norms[-1], n_summed=80)
    assert (bounds >= np.array(norms[:-1]) - 1e-9).all()


def test_the_first_subspace_is_orthonormal_and_holds_the_ones():
    v = stopping.first_subspace(30, np.dtype(float))
    np.testing.assert_allclose(v.T @ v, np.eye(stopping.SUBSPACE), atol=1e-12)
    np.testing.assert_allclose(v @ (v.T @ np.ones(30)), np.ones(30), atol=1e-12)
    assert stopping.first_subspace(3, np.dtype(float)).shape == (3, 3)


def test_a_subspace_that_vanishes_stays():
    v = stopping.first_subspace(30, np.dtype(float))
    assert stopping.next_subspace(np.zeros((30, stopping.SUBSPACE)), v) is v


def sums(history, v, *, keep):
    squares = np.einsum("jrk,jrk->j", history, history)
    return stopping.summarise(history, squares, history @ v, v, keep=keep)


@pytest.mark.parametrize("keep", [True, False])
def test_sums_of_parts_are_those_of_all_rows(keep):
    history = np.random.default_rng(0).standard_normal((4, 9, 12))
    v = stopping.first_subspace(12, np.dtype(float))
    whole = sums(history, v, keep=keep)
    parts = sums(history[:, :5], v, keep=keep) + sums(history[:, 5:], v, keep=keep)
    for name in ("squares", "projected_grams", "power_step", "end_gram", "end_products"):
        if getattr(whole, name) is None:
            assert keep
            assert getattr(parts, name) is None
        else:
            np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-10)


@pytest.mark.parametrize(("norm", "proven"), [(0.5, True), (2.0, False), (1.05, None)])
def test_a_side_is_proven_or_left_open(norm, proven):
    change = np.random.default_rng(1).standard_normal((20, 6))
    change *= norm / np.linalg.norm(change, 2)
    found, vector = stopping.proven_side(spectral.gram(change), 1.0, 1.1, None, error=0.0, margin=1e-9)
    assert found is proven
    assert vector.shape == (6,)
