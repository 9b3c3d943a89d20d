"""The margins of the stop are needed: ratios within them of the tolerance, and what rounding does to the bounds."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from distspc.kernels.sparse_coding import spectral, stability, stopping
from distspc.kernels.sparse_coding.inner_loop import InnerLoop, _meets_rule
from distspc.kernels.sparse_coding.iteration import PAPER, Rule
from distspc.kernels.sparse_coding.passes import PowerVectors
from distspc.kernels.threads import Threads

F64, F32 = np.dtype(np.float64), np.dtype(np.float32)

# ---------------------------------------------------------------- the loop, with the tolerance at the ratio itself


def codes_of(batch: np.ndarray, phi: np.ndarray, n_steps: int, loop_of) -> list[np.ndarray]:
    """The codes after each of some steps, as the loop computes them."""
    rule, kept = replace(PAPER, tolerance=1e-30, max_steps=n_steps), {}
    # All in one pass: the codes before the last step and after it, for every length.
    for n in range(1, n_steps + 1):
        loop = loop_of(replace(rule, max_steps=n))
        loop.run(batch.__getitem__, phi, lambda rows, codes, n=n: kept.__setitem__(n, [c.copy() for c in codes]))
    return [kept[1][0], *(kept[n][1] for n in range(1, n_steps + 1))]


@pytest.mark.parametrize(("n_rows", "n_codewords"), [(1, 6), (1, 40), (4, 6), (30, 40), (60, 40)])
def test_a_ratio_next_to_the_tolerance_is_on_the_side_that_the_definition_says(n_rows: int, n_codewords: int) -> None:
    """With few rows or codewords every bound is the norm itself, so that the margins alone keep the sides apart."""
    with Threads(1) as threads:
        for seed in range(4):
            rng = np.random.default_rng(seed)
            phi = rng.standard_normal((50, n_codewords))
            phi /= np.linalg.norm(phi, axis=0)
            batch = rng.standard_normal((n_rows, 50))

            def loop_of(rule, n_rows=n_rows, n_codewords=n_codewords):
                return InnerLoop(n_rows, n_codewords, dtype=F64, rule=rule, threads=threads, pass_steps=12)

            codes = codes_of(batch, phi, 10, loop_of)
            ratios = [
                np.linalg.norm(after - before, 2) / (PAPER.eps + np.linalg.norm(before, 2))
                for before, after in pairwise(codes)
            ]
            j = int(rng.integers(4, 9))
            for tolerance, least in ((np.nextafter(ratios[j], 1), j + 1), (ratios[j], j + 2)):
                rule = replace(PAPER, tolerance=float(tolerance), floor=PAPER.eps)
                stop, _ = loop_of(rule).run(batch.__getitem__, phi, lambda rows, codes: None)
                assert stop.n_steps == least


# ---------------------------------------------------------------- proofs


def is_positive(matrix: list[list[Fraction]]) -> bool:
    """Whether a symmetric matrix of whole fractions is positive definite."""
    (a, b), (_, c) = matrix
    return a > 0 and a * c - b * b > 0


def truly_below(g: np.ndarray, bound: float) -> bool:
    """Whether the norm of a Gram matrix of order 2 is below a bound, in exact arithmetic."""
    square = Fraction(bound) ** 2
    (a, b), (_, c) = ((Fraction(float(v)) for v in row) for row in g)
    return is_positive([[square - a, -b], [-b, square - c]])


def matrices_of_order_2(n: int):
    for seed in range(n):
        a = np.random.default_rng(seed).standard_normal((3, 2))
        yield a.T @ a


def test_rounding_alone_proves_too_much_and_the_margin_is_above_it(record_property) -> None:
    """A Cholesky factor and a Rayleigh quotient, each a rounding error beyond what is true."""
    wrong_above = wrong_below = 0
    for g in matrices_of_order_2(60):
        norm = spectral.norm_of_gram(g)
        low, vector = spectral.lower_norm(g, np.linalg.eigh(g)[1][:, -1])
        for steps in range(-8, 9):
            bound = norm * (1 + steps * 2.0**-53)
            below = truly_below(g, bound)
            wrong_below += spectral.is_below(g, bound) and not below
            wrong_above += low >= bound and below
            found, _ = stopping.proven_side(g, bound, bound, vector, error=0.0, margin=spectral.rounding_margin(F64))
            assert found is None
    record_property("wrong without a margin, below and above", [wrong_below, wrong_above])
    assert wrong_below > 0
    assert wrong_above > 0


def test_a_step_within_rounding_of_the_rule_is_left_to_the_definition() -> None:
    """Here the rule is that the change has a smaller norm than the code, whose bounds are both exact."""
    vectors = PowerVectors(spectral.rounding_margin)
    for g in matrices_of_order_2(40):
        for steps in range(-8, 9):
            bound = spectral.norm_of_gram(g) * (1 + steps * 2.0**-53)
            parts = SimpleNamespace(
                iteration=SimpleNamespace(rule=Rule(tolerance=1.0, floor=0.0)),
                lower_norm=lambda *_, bound=bound: bound,
                gram_error=lambda _: 0.0,
                meets_rule=lambda *_: "by the definition",
            )
            one = SimpleNamespace(change_grams={0: g}, sums=SimpleNamespace(squares=np.ones(2)))
            assert _meets_rule(one, 0, bound, parts, vectors) == "by the definition"


def test_an_upper_bound_is_one_though_its_proof_is_rounded(record_property) -> None:
    """A vector is given from which the least bound that is tried comes out as the norm, but for rounding."""
    without = 0
    for g in matrices_of_order_2(60):
        values, vectors = np.linalg.eigh(g)
        # The lower eigenvalue, moved to where 1.001 times its root is the norm.
        near = (vectors * [values[1] / 1.001**2, values[1]]) @ vectors.T
        near = (near + near.T) / 2
        for steps in range(-8, 9):
            scaled = vectors[:, 0] * (1 + steps * 2.0**-53)
            without += not truly_below(near, spectral.upper_norm(near, scaled, margin=0.0)[0])
            assert truly_below(near, spectral.upper_norm(near, scaled)[0])
    record_property("wrong without a margin", without)
    assert without > 0


@pytest.mark.parametrize("norm_squared", [200.0, np.nextafter(200.0, 0)])
def test_a_dictionary_at_the_bound_is_too_long_for_the_step(norm_squared: float) -> None:
    gram = np.eye(5) * norm_squared
    share = stability.stable_share(gram, 0.01)
    norm = spectral.norm_of_gram(gram)
    assert (share == 1) == (norm < np.sqrt(200.0))


def test_a_gram_matrix_in_float32_is_off_by_less_than_is_allowed_for(record_property) -> None:
    """Codes whose products all round the same way, and codes without a direction of their own."""
    shares = []
    rng = np.random.default_rng(0)
    for a in (
        np.full((60, 300), 0.1),
        rng.uniform(0.99, 1.01, (60, 300)),
        np.linalg.qr(rng.standard_normal((300, 60)))[0].T,
        np.concatenate([np.ones((60, 1)), np.full((60, 299), 2.0**-12)], axis=1),
    ):
        g = spectral.gram(a.astype(np.float32))
        off = abs(spectral.norm_of_gram(g.astype(float)) ** 2 - np.linalg.norm(a, 2) ** 2)
        shares.append(off / spectral.gram_error(g, 300))
    record_property("share of the allowance", shares)
    assert max(shares) <= 1


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_gram_matrix_that_is_off_by_as_much_as_it_may_proves_nothing_wrong(sign: int) -> None:
    """60 orthogonal rows of norm 1: their squared Frobenius norm is 60, as often as 3,000 roundings may be off."""
    g = np.eye(60, dtype=np.float32) * np.float32(1 + 0.98 * sign * 3002 * 2.0**-24 * 60)
    error, margin = spectral.gram_error(g, 3000), spectral.rounding_margin(F64)
    assert error == pytest.approx(3002 * 2.0**-24 * 60, rel=1.2e-2)
    side, _ = stopping.proven_side(g, 1.0, 1.0, None, error=error, margin=margin)
    assert side is None
    without, _ = stopping.proven_side(g, 1.0, 1.0, None, error=0.0, margin=margin)
    assert without is (sign < 0)
    assert spectral.upper_norm(g, error=error)[0] >= 1
    assert (spectral.upper_norm(g)[0] >= 1) == (sign > 0)


# ---------------------------------------------------------------- bounds within a pass


def pass_of(deviation: float, shape: tuple[int, int], value: float) -> np.ndarray:
    """Three codes of one direction, the middle one off the line between the others by a share of its length."""
    return np.array([np.full(shape, value), np.full(shape, value * (1 + deviation)), np.full(shape, value)])


def line_bounds(codes: np.ndarray) -> np.ndarray:
    norms = [np.linalg.norm(code, 2) for code in codes]
    squares = np.array([stopping.inner_product(code, code) for code in codes])
    n = stopping.n_roundings(codes.shape[2], 1)
    return stopping.line_bounds(squares, stopping.end_products(codes), norms[0], norms[-1], n_summed=n)


def test_a_code_just_off_the_line_is_below_its_bound_though_the_sums_cancel(record_property) -> None:
    """Searched for: the most by which a norm exceeds the line where the sums, which cancel, say that it does not."""
    largest = 0.0
    for value in np.random.default_rng(0).uniform(0.5, 1, 12):
        for deviation in 10.0 ** np.arange(-10.0, -5.0, 0.25):
            codes = pass_of(float(deviation), (25, 50), float(value))
            norm, bound = np.linalg.norm(codes[1], 2), line_bounds(codes)[1]
            assert norm <= bound * (1 + 1e-12)
            squares = np.array([stopping.inner_product(code, code) for code in codes])
            off = squares[1] - stopping.end_products(codes)[0, 1] * 2 + squares[0]
            line = np.linalg.norm(codes[0], 2) + np.sqrt(max(off, 0))
            largest = max(largest, (norm - line) / norm)
    record_property("norm beyond the line where the sums do not tell", largest)
    assert largest > 10 * spectral.rounding_margin(F64)


def test_sums_of_codes_are_off_by_fewer_roundings_than_are_allowed_for(record_property) -> None:
    code, shares = np.full((300, 200), 0.1), []
    for value in np.random.default_rng(0).uniform(0.5, 1, 20):
        code[...] = value
        true = Fraction(float(value)) ** 2 * code.size
        off = abs(Fraction(float(stopping.inner_product(code, code))) / true - 1)
        shares.append(float(off) / (stopping.n_roundings(200, 1) * 2.0**-53))
    record_property("share of the allowance", max(shares))
    assert max(shares) <= 1


def test_a_change_that_is_no_more_than_rounding_has_no_lower_bound() -> None:
    """Two codes that are the same but for the order in which their products with V were summed."""
    rng = np.random.default_rng(0)
    v = stopping.first_subspace(300, F64)
    code = rng.standard_normal((20, 300)) + 1e3
    order = rng.permutation(300)
    projected = np.array([code @ v, code[:, order] @ v[order]])
    moves = np.diff(projected, axis=0)
    squares = np.full(2, stopping.inner_product(code, code))
    sums = stopping.PassSums(squares, moves.transpose(0, 2, 1) @ moves, v, None, None)
    assert np.sqrt(np.linalg.eigvalsh(sums.projected_grams)[0, -1]) > 0
    assert stopping.change_bounds(sums, 300, margin=0.0)[0] <= 0


def test_a_change_whose_projected_gram_is_off_by_as_much_as_it_may_is_not_below_its_bound() -> None:
    """10,000 rows: entries of the Gram matrix of 8 columns are off by as many rounding units of its trace."""
    v, off = stopping.first_subspace(8, F64), 10_000 * 2.0**-53 * 8
    sums = stopping.PassSums(np.ones(2), np.eye(8)[None] * (1 + off), v, None, None)
    assert stopping.change_bounds(sums, 8, margin=0.0)[0] > 1
    assert stopping.change_bounds(sums, 8, margin=spectral.rounding_margin(F64))[0] <= 1
