"""Features standardised over images, against SciPy and exact sums."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import zscore

from distspc.kernels.standardisation import Moments, add_rows, add_squares


def moments(x):
    mean, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    add_rows(mean, x)
    mean /= len(x)
    add_squares(squares, x, mean)
    return Moments.of_sums(mean, squares, len(x))


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    return (rng.standard_normal((300, 50)) * 10.0 ** rng.integers(-5, 5, 50) + 100).astype(np.float32)


def test_moments_are_those_of_exact_sums(x):
    found, n = moments(x), len(x)
    mean = np.array([math.fsum(column) / n for column in x.T.astype(float)])
    squares = [math.fsum((column - m) ** 2) / n for column, m in zip(x.T.astype(float), mean, strict=True)]
    np.testing.assert_allclose(found.mean, mean, rtol=1e-14)
    np.testing.assert_allclose(found.sd, np.sqrt(squares), rtol=1e-12)


def test_standardised_rows_are_the_z_scores_rounded_once(x):
    rows, found = x.copy(), moments(x)
    found.standardise(rows)
    expected = ((x.astype(float) - found.mean) / found.sd).astype(np.float32)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(rows, zscore(x.astype(float), axis=0, ddof=0), rtol=1e-6, atol=1e-7)


@given(
    st.floats(-(2.0**120), 2.0**120, width=32),
    st.integers(1, 400),
    st.integers(1, 3),
)
def test_a_constant_feature_becomes_exactly_0(value, n, n_features):
    x = np.full((n, n_features), value, np.float32)
    found = moments(x)
    assert found.n_constant == n_features
    found.standardise(x)
    assert (x == 0).all()


def test_a_feature_that_barely_varies_is_not_constant():
    x = np.full((1000, 1), 1, np.float32)
    x[7] = np.nextafter(np.float32(1), np.float32(2))
    found = moments(x)
    assert found.n_constant == 0
    found.standardise(x)
    np.testing.assert_allclose(x[7], np.sqrt(999), rtol=1e-6)


def test_sums_are_the_same_however_rows_and_features_are_cut(x):
    whole = moments(x)
    for size in (1, 7, 50):
        parts = [moments(x[:, f : f + size]) for f in range(0, x.shape[1], size)]
        np.testing.assert_array_equal(np.concatenate([part.mean for part in parts]), whole.mean)
        np.testing.assert_array_equal(np.concatenate([part.sd for part in parts]), whole.sd)
    total = np.zeros(x.shape[1])
    for start in range(0, len(x), 13):
        add_rows(total, x[start : start + 13])
    np.testing.assert_array_equal(total / len(x), whole.mean)


def test_what_is_not_finite_stays_so(x):
    found = moments(x)
    x[3, 4], x[5, 6] = np.nan, np.inf
    found.standardise(x)
    assert np.isnan(x[3, 4])
    assert np.isinf(x[5, 6])
    assert np.isfinite(x).sum() == x.size - 2


def test_a_quotient_halfway_between_two_float32_numbers_is_rounded_as_one_division_rounds_it():
    """For 0 less a mean of -N k, by an sd of k 2**24, N odd: exactly in the middle, rounded to the even neighbour."""
    n = 2.0**25 - np.arange(1, 4001, 2)
    k = np.resize(np.arange(3.0, 200, 2), len(n))
    row = np.zeros((1, len(n)), np.float32)
    Moments(-n * k, k * 2.0**24).standardise(row)
    even = np.where((n - 1) / 2 % 2 == 0, n - 1, n + 1)
    np.testing.assert_array_equal(row[0], even / 2.0**24)
