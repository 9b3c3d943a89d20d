"""The step is the paper's where it converges, and a shorter one with the same fixed points where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distspc.kernels.sparse_coding import inner_loop, stability
from distspc.kernels.sparse_coding import training as kernel
from distspc.kernels.sparse_coding.iteration import PAPER, STABLE
from distspc.kernels.sparse_coding.lasso import lasso_code
from distspc.kernels.sparse_coding.principal_components import first_component_share
from distspc.testing.stores import one_direction_activations, relu_activations

LEANING = one_direction_activations(200, 1000)


@pytest.fixture(scope="session")
def drawn(literal):
    """Give a function that draws many codewords: only these lean one way so much that the paper's step diverges."""

    def draw(activations, n_units=800, n_codewords=400, seed=3):
        rng, _, X, phi = literal.draw(seed, activations, n_units, n_codewords)
        return rng, X, phi

    return draw


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_where_the_papers_step_converges_stable_is_the_paper_to_the_last_bit(precision, drawn):
    activations = relu_activations(300, 200)
    found = []
    for rule in (PAPER, STABLE):
        rng, X, phi = drawn(activations, n_units=80, n_codewords=40)
        trained = kernel.train(X, phi, rng, n_batches=20, batch_size=50, rule=rule, precision=precision)
        found.append((trained, *kernel.encode(X, trained.dictionary, rule=rule, precision=precision)))
    (paper, *encoded), (stable, *again) = found
    for name in ("dictionary", "training_error", "n_steps", "converged", "step"):
        np.testing.assert_array_equal(getattr(stable, name), getattr(paper, name))
    np.testing.assert_array_equal(again[0], encoded[0])
    np.testing.assert_array_equal(again[1], encoded[1])
    assert again[2] == encoded[2]
    assert (stable.step == 0.01).all()


def test_the_papers_step_diverges_on_activations_of_one_direction_and_says_why(drawn):
    rng, X, phi = drawn(LEANING)
    share = first_component_share(X)
    assert share > 0.9
    what = rf"training batch 2 of 9: the code diverged after \d+ steps: .* only below 200 \(.* holds {share:.0%}"
    with pytest.raises(inner_loop.DivergedError, match=what) as caught:
        kernel.train(X, phi, rng, n_batches=9, batch_size=250)
    assert caught.value.step_too_long


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_stable_step_trains_there_as_the_literal_shortened_method_does(n_threads, literal, drawn):
    rng, X, phi = drawn(LEANING)
    dictionary, errors, steps, shares = literal.train_stable(X, phi, rng, 3, 250)
    assert list(shares < 1) == [False, True, True]
    rng, X, phi = drawn(LEANING)
    found = kernel.train(X, phi, rng, n_batches=3, batch_size=250, rule=STABLE, n_threads=n_threads)
    assert found.converged.all()
    np.testing.assert_array_equal(found.n_steps, steps)
    np.testing.assert_allclose(found.step, 0.01 * shares, rtol=1e-8)
    np.testing.assert_allclose(found.training_error, errors, rtol=1e-7)
    np.testing.assert_allclose(found.dictionary, dictionary, rtol=0, atol=1e-7)
    assert found.training_error[-1] < found.training_error[0] / 2


@pytest.mark.parametrize(("part_rows", "keep"), [(256, True), (30, True), (30, False)])
def test_the_code_of_all_images_is_shortened_as_one(part_rows, keep, literal, drawn):
    _, X, phi = drawn(LEANING)
    phi = phi / np.linalg.norm(phi, axis=0) + X.mean(axis=0)[:, None]
    phi /= np.linalg.norm(phi, axis=0)
    f = literal.share(phi)
    code, e, ok, n = literal.encode_shortened(X - X.mean(), phi, f)
    found, error, stop = kernel.encode(X, phi, rule=STABLE, part_rows=part_rows, keep=keep)
    assert f < 1
    assert (stop.n_steps, stop.converged) == (n, ok)
    assert stop.step == pytest.approx(0.01 * f, rel=1e-8)
    np.testing.assert_allclose(error, np.mean(e**2, axis=1), rtol=1e-6)
    np.testing.assert_allclose(found, code, rtol=0, atol=1e-6)


def test_a_shortened_step_has_the_fixed_points_of_the_papers_penalty(drawn):
    _, X, phi = drawn(LEANING)
    phi = phi / np.linalg.norm(phi, axis=0) + X.mean(axis=0)[:, None]
    phi /= np.linalg.norm(phi, axis=0)
    B = np.asarray(X[:20] - X[:20].mean(), float)
    rule = replace(STABLE, tolerance=1e-4, max_steps=20_000)
    code, _, stop = kernel.encode(X[:20], phi, rule=rule)
    expected, converged = lasso_code(B, phi, 0.1)
    assert converged.all()
    assert stop.converged
    assert stop.step < 0.01

    def objective(r):
        return 0.5 * np.sum((B - r @ phi.T) ** 2, axis=1) + 0.1 * np.abs(r).sum(axis=1)

    np.testing.assert_allclose(objective(code), objective(expected), rtol=1e-2)


@given(st.floats(0.5, 2000), st.integers(2, 40), st.sampled_from([np.float64, np.float32]))
def test_the_share_is_the_definition(norm_squared, k, dtype):
    phi = np.random.default_rng(k).standard_normal((50, k))
    phi *= np.sqrt(norm_squared) / np.linalg.norm(phi, 2)
    phi = phi.astype(dtype)
    share = stability.stable_share(phi.T @ phi, 0.01)
    if abs(norm_squared / 200 - 1) > 1e-4:
        assert (share == 1) == (norm_squared < 200)
    if share < 1:
        assert 0.01 * share * norm_squared == pytest.approx(1.5, rel=5e-3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_frobenius_norm_below_the_bound_is_proof_enough(dtype, monkeypatch):
    gram = np.ones((150, 150), dtype)  # one direction: the only eigenvalue is the Frobenius norm, 150
    with monkeypatch.context() as without:
        without.setattr(stability.spectral, "is_below", None)
        assert stability.stable_share(gram, 0.01) == 1
    assert stability.stable_share(gram * np.dtype(dtype).type(4 / 3 * (1 + 1e-6)), 0.01) < 1
    assert stability.stable_share(gram * np.dtype(dtype).type(4 / 3 * (1 - 1e-6)), 0.01) == 1


def test_input_that_is_not_finite_is_named_as_such(drawn):
    rng, X, phi = drawn(LEANING)
    X[:] = np.nan
    with pytest.raises(inner_loop.DivergedError, match=r"training batch 1 of 2: .* the input holds NaN or infinity"):
        kernel.train(X, phi, rng, n_batches=2, batch_size=20, rule=STABLE)
