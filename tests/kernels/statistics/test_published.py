"""Values that others published or computed, and exact arithmetic on few images: ties, n = 4 to 10, near-perfect r."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import permutations
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from distspc.kernels.statistics import correlations as kernel
from distspc.kernels.statistics import inference, recognition
from distspc.kernels.statistics.permutation import permutation_p
from distspc.kernels.statistics.reliability import seed_reliability, spearman_brown

# ---------------------------------------------------------------- published

# Motor Trend, 1974 (R's data set mtcars): miles per gallon, horsepower, weight.
MPG = np.array([
    21.0, 21.0, 22.8, 21.4, 18.7, 18.1, 14.3, 24.4, 22.8, 19.2, 17.8, 16.4, 17.3, 15.2, 10.4, 10.4, 14.7, 32.4, 30.4,
    33.9, 21.5, 15.5, 15.2, 13.3, 19.2, 27.3, 26.0, 30.4, 15.8, 19.7, 15.0, 21.4,
])  # fmt: skip
HP = np.array([
    110, 110, 93, 110, 175, 105, 245, 62, 95, 123, 123, 180, 180, 180, 205, 215, 230, 66, 52, 65, 97, 150, 150, 245,
    175, 66, 91, 113, 264, 175, 335, 109,
], float)  # fmt: skip
WT = np.array([
    2.620, 2.875, 2.320, 3.215, 3.440, 3.460, 3.570, 3.190, 3.150, 3.440, 3.440, 4.070, 3.730, 3.780, 5.250, 5.424,
    5.345, 2.200, 1.615, 1.835, 2.465, 3.520, 3.435, 3.840, 3.845, 1.935, 2.140, 1.513, 3.170, 2.770, 3.570, 2.780,
])  # fmt: skip


def correlation(x: np.ndarray, y: np.ndarray, *controls: np.ndarray, method: str = "pearson") -> float:
    z = np.column_stack(controls) if controls else np.empty((len(y), 0))
    return float(kernel.correlations(np.asarray(x, float)[:, None], np.asarray(y, float), z, method=method)[0])


def test_correlations_of_cars_are_those_that_r_gives():
    assert correlation(MPG, WT) == pytest.approx(-0.8676594, abs=5e-8)
    assert correlation(MPG, HP) == pytest.approx(-0.7761684, abs=5e-8)
    assert correlation(WT, HP) == pytest.approx(0.6587479, abs=5e-8)
    assert correlation(MPG, WT, method="spearman") == pytest.approx(-0.886422, abs=5e-7)  # with ties
    assert float(inference.t_test_p(correlation(MPG, WT), 32)) == pytest.approx(1.294e-10, rel=5e-4)


@pytest.mark.parametrize(("x", "y"), [
    ([10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5], [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]),
    ([10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5], [9.14, 8.14, 8.74, 8.77, 9.26, 8.10, 6.13, 3.10, 9.13, 7.26, 4.74]),
    ([8, 8, 8, 8, 8, 8, 8, 19, 8, 8, 8], [6.58, 5.76, 7.71, 8.84, 8.47, 7.04, 5.25, 12.50, 5.56, 7.91, 6.89]),
])  # fmt: skip
def test_the_correlation_of_anscombe_is_the_same_in_sets_that_differ(x, y):
    assert round(correlation(np.array(x), np.array(y)), 3) in (0.816, 0.817)  # Anscombe (1973), table


def test_dependent_correlations_are_those_of_cocor():
    # Diedenhofen and Musch (2015), doi 10.1371/journal.pone.0121945: logic and knowledge with intelligence, n = 291.
    found = inference.compare_dependent(0.3213, 0.1038, 0.0257, 291)
    assert found.williams_t == pytest.approx(2.7743, abs=2e-3)
    assert found.williams_p == pytest.approx(0.0059, abs=5e-5)
    assert found.meng_z == pytest.approx(2.7432, abs=2e-3)
    assert found.meng_p == pytest.approx(0.0061, abs=5e-5)


def test_reliability_has_the_mean_squares_of_shrout_and_fleiss():
    # Their table 3 of the ratings in table 2: BMS = 11.24, EMS = 1.02 with 5 and 15 degrees of freedom; six targets.
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    found = seed_reliability(ratings.T)
    assert found.icc == pytest.approx((11.24 - 1.02) / (11.24 + 3 * 1.02), abs=1e-3)
    assert found.mean_icc == pytest.approx((11.24 - 1.02) / 11.24, abs=1e-3)


@pytest.mark.parametrize(("hit", "fa", "dprime"), [
    (0.69, 0.31, 0.99), (0.84, 0.16, 1.99), (0.93, 0.07, 2.95), (0.99, 0.01, 4.65), (0.5, 0.5, 0.0), (0.84, 0.5, 0.99),
])  # fmt: skip
def test_dprime_is_that_of_the_tables(hit, fa, dprime):
    """Macmillan and Creelman (2005), appendix 5: with so many responses that the correction does not show."""
    n = 1e9
    one = (np.array([value]) for value in (hit * n, n, fa * n, n))
    found = recognition.recognition_scores(recognition.Counts(*one))["dprime"][0]
    assert found == pytest.approx(dprime, abs=6e-3)


@settings(max_examples=50)
@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 9), st.integers(1, 9))
def test_dprime_of_few_responses_is_that_of_the_normal_distribution_of_the_standard_library(hits, old, alarms, new):
    assume(hits <= old and alarms <= new)
    one = (np.array([float(value)]) for value in (hits, old, alarms, new))
    z = NormalDist().inv_cdf
    expected = z((hits + 0.5) / (old + 1)) - z((alarms + 0.5) / (new + 1))
    assert recognition.recognition_scores(recognition.Counts(*one))["dprime"][0] == pytest.approx(expected, abs=1e-12)


def test_spearman_browns_formula_is_that_of_the_textbooks():
    # A test of reliability .7, doubled: .82; halved: .54 (2/2.7 x .7 ...: Gulliksen, 1950, chapter 8).
    assert round(spearman_brown(0.7, 2), 2) == 0.82
    assert round(spearman_brown(0.7, 0.5), 2) == 0.54


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 9), min_size=4, max_size=4))
def test_split_halves_of_two_subjects_are_the_phi_coefficient_of_their_responses(cells):
    """Two subjects have one pair of halves, and Pearson's r of responses of 0 and 1 is phi = (ad - bc) / root."""
    a, b, c, d = cells
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    assume(margins)
    assume(sum(cells) > 2)
    pairs = [(1, 1)] * a + [(1, 0)] * b + [(0, 1)] * c + [(0, 0)] * d
    subject, image = (np.ravel(part) for part in np.indices((2, len(pairs))))
    trials = recognition.Trials(subject, image, np.ones(subject.size, int), np.transpose(pairs).ravel())
    found = recognition.split_half(trials, len(pairs), n_halves=3, n_bootstrap=2)["hit"]
    phi = (a * d - b * c) / margins**0.5
    assert found.half_r == pytest.approx(phi, abs=1e-12)
    if phi > -1 + 1e-9:
        assert found.reliability == pytest.approx(2 * phi / (1 + phi), abs=1e-9)
    else:  # exactly opposite: the formula's pole
        assert found.reliability < -1e9


@pytest.mark.parametrize(
    ("x", "y", "n"),
    [
        ([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], 720),
        ([1, 1, 2, 3, 5], [2, 1, 4, 3, 9], 120),
        ([0, 1, 1, 2], [1, 0, 3, 3], 24),
    ],
)
def test_permutation_p_of_few_images_is_that_of_all_permutations(x, y, n):
    """Counted in whole fractions; permutations drawn at random come as near as chance lets them."""
    centred = [value - Fraction(sum(x), len(x)) for value in x]
    sums = [abs(sum(p * q for p, q in zip(centred, order, strict=True))) for order in permutations(y)]
    assert len(sums) == n
    true = sum(value >= sums[0] for value in sums) / n
    found = permutation_p(np.array(x, float)[:, None], np.array(y, float), np.empty((len(x), 0)), n_permutations=20_000)
    assert found[0] == pytest.approx(true, abs=4.5 * (true * (1 - true) / 20_000) ** 0.5 + 1e-4)


# ---------------------------------------------------------------- SciPy, on the same resamples


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [6, 10, 40])
def test_bca_intervals_are_scipys_of_the_same_resamples(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n).round(1)  # with ties
    y = (x + rng.normal(size=n)).round(1)
    draws = kernel.bootstrap_correlations(x[:, None], y, np.empty((n, 0)), n_bootstrap=999, random_state=seed)
    draws = draws[np.isfinite(draws[:, 0])]
    jackknife = kernel.jackknife_correlations(x[:, None], y, np.empty((n, 0)))
    found = inference.bca_interval(np.array([correlation(x, y)]), draws, jackknife)[:, 0]
    # Of few images some resamples are the sample itself, which SciPy tells by equality.
    whole = stats.pearsonr(x, y).statistic
    draws[np.isclose(draws, whole, rtol=0, atol=1e-10)] = whole
    expected = stats.bootstrap(
        (x, y), lambda a, b, axis: stats.pearsonr(a, b, axis=axis).statistic, paired=True, vectorized=True,
        n_resamples=0, method="BCa", bootstrap_result=SimpleNamespace(bootstrap_distribution=draws[:, 0]),
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(found, list(expected), atol=1e-9)


# ---------------------------------------------------------------- exact arithmetic


def exact(values: Sequence[float]) -> list[Fraction]:
    return [Fraction(float(value)) for value in values]


def residual(column: list[Fraction], on: list[list[Fraction]]) -> list[Fraction]:
    """Column less its mean and its regression on others, by Gram and Schmidt."""
    mean = sum(column) / len(column)
    column = [value - mean for value in column]
    for other in on:
        square = sum(v * v for v in other)
        if square:
            slope = sum(a * b for a, b in zip(column, other, strict=True)) / square
            column = [a - slope * b for a, b in zip(column, other, strict=True)]
    return column


def exact_correlation(x, y, *controls) -> Decimal:
    """Partial correlation, in whole fractions but for the root."""
    basis: list[list[Fraction]] = []
    for control in controls:
        basis.append(residual(exact(control), basis))
    a, b = (residual(exact(column), basis) for column in (x, y))
    with localcontext(prec=50):
        xy, xx, yy = (sum(p * q for p, q in zip(one, other, strict=True)) for one, other in ((a, b), (a, a), (b, b)))
        ratio = xy * xy / (xx * yy)
        root = (Decimal(ratio.numerator) / Decimal(ratio.denominator)).sqrt()
        return -root if xy < 0 else root


def midranks(values: Sequence[float]) -> list[Fraction]:
    return [Fraction(2 * sum(v < u for v in values) + sum(v == u for v in values) + 1, 2) for u in values]


SMALL = st.integers(4, 10).flatmap(
    lambda n: st.lists(st.lists(st.integers(-4, 4), min_size=n, max_size=n), min_size=4, max_size=4)
)


@settings(deadline=None, max_examples=50)
@given(columns=SMALL, n_controls=st.integers(0, 2), method=st.sampled_from(["pearson", "spearman"]))
def test_correlations_of_few_images_with_ties_are_those_of_exact_arithmetic(columns, n_controls, method):
    ranked = [midranks(column) for column in columns] if method == "spearman" else columns
    x, y, *controls = ranked[: 2 + n_controls]
    basis: list[list[Fraction]] = []
    for control in controls:
        basis.append(residual(exact(control), basis))
    assume(all(any(residual(exact(column), basis)) for column in (x, y)))
    found = correlation(*(np.array(column, float) for column in columns[: 2 + n_controls]), method=method)
    assert found == pytest.approx(float(exact_correlation(x, y, *controls)), abs=1e-9)


@pytest.mark.parametrize("exponent", [4, 10, 20, 26])
@pytest.mark.parametrize("n", [4, 7, 10])
def test_a_nearly_perfect_correlation_is_that_of_exact_arithmetic(n, exponent):
    x = np.arange(n, dtype=float) ** 2
    y = 3 * x + 2.0**-exponent * np.cos(np.arange(n))
    assert correlation(x, y) == pytest.approx(float(exact_correlation(x, y)), abs=4e-16)
    assert correlation(x, -y) == pytest.approx(float(exact_correlation(x, -y)), abs=4e-16)
    assert abs(correlation(x, y)) <= 1


@pytest.mark.parametrize("exponent", [2, 6, 10, 14])
def test_a_control_that_explains_nearly_all_leaves_what_exact_arithmetic_leaves(exponent, record_property):
    """What is left of the variance, v, is a difference of rounded sums: the correlation is good to some 1e-15 / v."""
    rng = np.random.default_rng(0)
    z, noise = rng.normal(size=(2, 10))
    x, y = z + 2.0**-exponent * noise, rng.normal(size=10)
    off = abs(correlation(x, y, z) - float(exact_correlation(x, y, z)))
    left = 4.0**-exponent
    record_property("error, in units of 1e-15 over the share of the variance", off * left / 1e-15)
    assert off <= 4e-15 / left
