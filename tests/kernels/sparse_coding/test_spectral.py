"""Norms and their bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from distspc.kernels.sparse_coding import spectral

MATRICES = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.floats(-5, 5))


@settings(deadline=None)
@given(a=MATRICES)
@example(a=np.full((1, 2), 4.08659548e-162))
def test_bounds_enclose_the_norm(a):
    g, norm = spectral.gram(a), np.linalg.norm(a, 2)
    allowance = 1e-7 * np.linalg.norm(a) + 1e-150
    low, _ = spectral.lower_norm(g)
    assert low <= norm + allowance
    assert spectral.upper_norm(g)[0] >= norm - allowance
    assert spectral.norm_of_gram(g) == pytest.approx(norm, rel=1e-6, abs=allowance)
    if spectral.is_below(g, norm * 0.999):
        pytest.fail("proved a bound that does not hold")


@given(a=MATRICES.filter(lambda a: np.linalg.norm(a) > 1e-3))
def test_a_bound_just_above_the_norm_is_proven(a):
    assert spectral.is_below(spectral.gram(a), np.linalg.norm(a, 2) * 1.0001)


def test_a_norm_of_nan_is_refused():
    with pytest.raises(FloatingPointError, match="NaN"):
        spectral.norm_of_gram(np.array([[np.nan]]))


def test_a_power_iteration_goes_on_from_the_vector_it_is_given():
    a = np.random.default_rng(0).standard_normal((40, 30))
    norm, g = np.linalg.norm(a, 2), spectral.gram(a)
    low, vector = spectral.lower_norm(g)
    again, _ = spectral.lower_norm(g, vector)
    assert low <= again <= norm * (1 + 1e-12)


def test_nothing_is_proven_of_numbers_whose_squares_underflow():
    assert not spectral.is_below(spectral.gram(np.full((2, 2), 1e-170)), 1.0e-160)


def test_the_vector_of_a_bound_has_length_1_however_the_iteration_ends():
    """Where the largest eigenvalues are close together it ends with the number of its steps."""
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))[0]
    g = 100 * (basis * np.linspace(1, 0.7, 40)) @ basis.T
    for start in (None, basis[:, -1] + 1e-3 * basis[:, 0]):
        low, vector = spectral.lower_norm(g, start, gain=1e-12)
        assert low <= 10
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-12)
        assert np.linalg.norm(vector @ g) <= 100 * (1 + 1e-12)
