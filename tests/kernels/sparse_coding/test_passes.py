"""Passes: the same of parts that are kept and of parts that are run again."""

from __future__ import annotations

import numpy as np
import pytest

from distspc.kernels.sparse_coding import spectral
from distspc.kernels.sparse_coding.iteration import PAPER, Iteration
from distspc.kernels.sparse_coding.passes import KeptParts, PartBuffers, PowerVectors, RerunParts
from distspc.kernels.sparse_coding.stopping import first_subspace
from distspc.kernels.threads import Threads, single_threaded_blas

N_ROWS, N_CODEWORDS, N_STEPS = 50, 40, 6
V = first_subspace(N_CODEWORDS, np.dtype(float))


@pytest.fixture
def iteration(drawn):
    _, _, X, phi = drawn()
    inputs = (X[:N_ROWS] - np.mean(X[:N_ROWS])).astype(float)
    return Iteration.of(inputs.__getitem__, phi / np.linalg.norm(phi, axis=0), PAPER)


@pytest.fixture
def codes(iteration):
    """All codes of two passes, (2 N_STEPS + 1, rows, codewords)."""
    drive, codes = np.empty((N_ROWS, N_CODEWORDS)), np.zeros((2 * N_STEPS + 1, N_ROWS, N_CODEWORDS))
    iteration.drive(slice(0, N_ROWS), drive)
    for j in range(2 * N_STEPS):
        iteration.step(codes[j], drive, codes[j + 1])
    return codes


@pytest.fixture(params=[(KeptParts, 25), (KeptParts, 11), (RerunParts, 11)], ids=["kept", "five kept", "run again"])
def parts(request, iteration):
    """Two threads, and two or five parts."""
    kind, size = request.param
    slices = [slice(a, min(a + size, N_ROWS)) for a in range(0, N_ROWS, size)]
    scratch = [np.full((size, N_CODEWORDS), np.nan) for _ in range(2)]
    n_buffers = len(slices) if kind is KeptParts else 2
    buffers = [PartBuffers(size, N_STEPS, scratch[i % 2]) for i in range(n_buffers)]
    states = np.full((N_ROWS, N_CODEWORDS), np.nan), np.full((N_ROWS, N_CODEWORDS), np.nan)  # as memory that was used
    with single_threaded_blas(2) as n_threads, Threads(n_threads) as threads:
        yield kind(iteration, slices, buffers, threads, states)


@pytest.fixture
def vectors():
    return PowerVectors(spectral.rounding_margin)


def norms(codes):
    return np.array([np.linalg.norm(code, 2) for code in codes])


def test_sums_are_those_of_the_codes(parts, codes):
    one = parts.run(0, N_STEPS, V, 0.0)
    np.testing.assert_allclose(one.sums.squares, (codes[: N_STEPS + 1] ** 2).sum(axis=(1, 2)), rtol=1e-12)
    moves = np.diff(codes[: N_STEPS + 1] @ V, axis=0)
    np.testing.assert_allclose(one.sums.projected_grams, moves.transpose(0, 2, 1) @ moves, atol=1e-12)


def test_bounds_enclose_the_norms_of_the_codes(parts, codes, vectors):
    one, bounds = parts.with_close_bounds(parts.run(0, N_STEPS, V, 0.0), vectors)
    true = norms(codes[: N_STEPS + 1])
    assert (bounds >= true[:-1]).all()
    assert true[-1] <= one.end_norm <= 1.15 * true[-1]
    for j in range(1, N_STEPS):
        one = parts.with_grams(one, j)
        assert parts.lower_norm(one, j, vectors) <= true[j] * (1 + 1e-6)


def test_a_norm_that_is_not_known_at_the_start_is_found(parts, codes, vectors):
    first = parts.run(0, N_STEPS, V, 0.0)
    parts.go_on(first)
    one, bounds = parts.with_close_bounds(parts.run(N_STEPS, N_STEPS, V, np.inf), vectors)
    true = norms(codes[N_STEPS:])
    assert true[0] <= one.start_norm <= 1.15 * true[0]
    assert (bounds >= true[:-1]).all()


def test_gram_matrices_are_those_of_the_changes(parts, codes):
    one = parts.run(0, N_STEPS, V, 0.0)
    for j in range(N_STEPS):
        one = parts.with_grams(one, j)
        expected = np.linalg.norm(codes[j + 1] - codes[j], 2)
        assert spectral.norm_of_gram(one.change_grams[j]) == pytest.approx(expected, rel=1e-5)


def test_a_pass_goes_on_where_the_last_one_ended(parts, codes):
    parts.go_on(parts.run(0, N_STEPS, V, 0.0))
    one = parts.run(N_STEPS, N_STEPS, V, np.inf)
    np.testing.assert_allclose(one.sums.squares, (codes[N_STEPS:] ** 2).sum(axis=(1, 2)), rtol=1e-12)


@pytest.mark.parametrize("last", [0, 2, N_STEPS - 1])
@pytest.mark.parametrize("one_more", [False, True])
def test_the_codes_around_the_last_step_are_handed_over(parts, codes, last, one_more):
    parts.go_on(parts.run(0, N_STEPS, V, 0.0))
    one, seen = parts.run(N_STEPS, N_STEPS, V, np.inf), {}

    def finish(rows, found):
        seen[rows.start] = [code.copy() for code in found]

    parts.finish(one, last, finish, one_more=one_more)
    assert sorted(seen) == [part.start for part in parts.parts]
    for j in range(3 if one_more else 2):
        whole = np.concatenate([seen[part.start][j] for part in parts.parts])
        if N_STEPS + last + j < len(codes):
            np.testing.assert_allclose(whole, codes[N_STEPS + last + j], rtol=0, atol=1e-13)
    np.testing.assert_allclose(parts.states[1], codes[N_STEPS + last + 1], rtol=0, atol=1e-13)


def test_where_bounds_do_not_tell_the_definition_does(parts, codes, iteration):
    one, rule = parts.run(0, N_STEPS, V, 0.0), iteration.rule
    for j in range(N_STEPS):
        one = parts.with_grams(one, j)
        ratio = np.linalg.norm(codes[j + 1] - codes[j], 2) / (rule.eps + np.linalg.norm(codes[j], 2))
        assert parts.meets_rule(one, j, spectral.rounding_margin) == (ratio < rule.tolerance)


def test_a_pass_does_not_change(parts, vectors):
    one = parts.run(0, N_STEPS, V, 0.0)
    richer, _ = parts.with_close_bounds(parts.with_grams(one, 1), vectors)
    assert 1 in richer.change_grams
    assert not one.change_grams
    assert np.isinf(one.end_norm)


def test_parts_that_are_run_again_need_states(iteration):
    with pytest.raises(ValueError, match="3 parts whose codes are not kept need `states`"):
        RerunParts(iteration, [slice(0, 1)] * 3, [], Threads(1), None)
