"""Training and encoding against a literal transcription of the method."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.kernels.sparse_coding import inner_loop
from distspc.kernels.sparse_coding import training as kernel
from distspc.kernels.sparse_coding.iteration import Rule
from distspc.testing.stores import relu_activations


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_training_is_the_method_to_rounding_with_the_same_steps(n_threads, literal, drawn):
    rng, _, X, phi = drawn()
    expected = literal.train(X, phi, rng, 30, 50)
    rng, _, X, phi = drawn()
    found = kernel.train(X, phi, rng, n_batches=30, batch_size=50, n_threads=n_threads)

    np.testing.assert_array_equal(found.n_steps, expected[2])
    np.testing.assert_array_equal(found.converged, expected[3])
    np.testing.assert_allclose(found.training_error, expected[1], rtol=1e-10)
    np.testing.assert_allclose(found.dictionary, expected[0], rtol=0, atol=1e-11)


def test_short_codewords_are_scaled_to_length_1_and_none_stays_nothing(literal, drawn):
    rng, _, X, phi = drawn()
    phi[:, 3] *= 1e-4
    phi[:, 5] = 0
    expected = literal.train(X, phi, rng, 3, 50)
    rng, *_ = drawn()
    found = kernel.train(X, phi, rng, n_batches=3, batch_size=50)
    np.testing.assert_array_equal(found.n_steps, expected[2])
    np.testing.assert_allclose(found.dictionary, expected[0], rtol=0, atol=1e-11)
    assert np.linalg.norm(found.dictionary[:, 3]) > 0.9
    assert (found.dictionary[:, 5] == 0).all()


def test_at_full_size_too(literal, activations):
    activations = relu_activations(400, 1500)
    rng, _, X, phi = literal.draw(0, activations, 1000, 500)
    expected = literal.train(X, phi, rng, 2, 250)
    rng, _, X, phi = literal.draw(0, activations, 1000, 500)
    found = kernel.train(X, phi, rng, n_batches=2, batch_size=250)
    np.testing.assert_array_equal(found.n_steps, expected[2])
    np.testing.assert_allclose(found.training_error, expected[1], rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 0.1, 3.0])
def test_training_is_the_method_at_other_scales_of_the_input(scale, literal, drawn):
    # Small inputs leave the code at zero: the ratio is then 0 at the first step. Large ones take many steps.
    rng, _, X, phi = drawn()
    X = (X * scale).astype(np.float32)
    expected = literal.train(X, phi, rng, 6, 40)
    rng, _, _, phi = drawn()
    found = kernel.train(X, phi, rng, n_batches=6, batch_size=40)
    np.testing.assert_array_equal(found.n_steps, expected[2])
    np.testing.assert_allclose(found.training_error, expected[1], rtol=1e-9)


def growing_dictionary(n_units=30, n_codewords=20):
    """Codewords all alike and long: the step overshoots, the code swings and the rule is never met."""
    rng = np.random.default_rng(0)
    one = rng.standard_normal((n_units, 1))
    phi = one / np.linalg.norm(one) + 1e-3 * rng.standard_normal((n_units, n_codewords))
    return phi * np.sqrt(2.005 / (0.01 * np.linalg.norm(phi, 2) ** 2))


def test_a_batch_that_does_not_converge_ends_after_999_steps_with_the_stale_residual(literal, activations):
    X = activations[:40, :30]
    phi = growing_dictionary()
    r, e, ok, n = literal.encode(X - np.mean(X), phi)
    code, error, stop = kernel.encode(X, phi)
    assert (stop.n_steps, stop.converged) == (n, ok) == (999, False)
    np.testing.assert_allclose(code, r, rtol=1e-7)
    np.testing.assert_allclose(error, np.mean(e**2, axis=1), rtol=1e-7)


def test_batches_that_do_not_converge_leave_the_dictionary_alone(literal, drawn):
    rng, _, X, phi = drawn()
    expected = literal.train(X, phi, rng, 3, 20, eps=1e-9)
    rng, _, X, phi = drawn()
    found = kernel.train(X, phi, rng, n_batches=3, batch_size=20, rule=Rule(tolerance=1e-9))
    assert not found.converged.any()
    np.testing.assert_array_equal(found.n_steps, expected[2])
    np.testing.assert_allclose(found.training_error, expected[1], rtol=1e-9)
    np.testing.assert_allclose(found.dictionary, phi / np.linalg.norm(phi, axis=0), rtol=1e-12)


def test_float32_is_close_and_says_so(drawn):
    results = {}
    for precision in ("float64", "float32"):
        rng, _, X, phi = drawn()
        trained = kernel.train(X, phi, rng, n_batches=40, batch_size=50, precision=precision)
        _, results[precision], _ = kernel.encode(X, trained.dictionary, precision=precision)
    assert np.corrcoef(results["float32"], results["float64"])[0, 1] >= 0.9999
    np.testing.assert_allclose(results["float32"], results["float64"], rtol=1e-2)


@settings(deadline=None, max_examples=25)
@given(
    part_rows=st.integers(1, 130),
    n_threads=st.integers(1, 3),
    n_images=st.integers(2, 120),
    seed=st.integers(0, 5),
)
def test_any_cut_into_parts_gives_the_code_of_all_images_at_once(part_rows, n_threads, n_images, seed, literal, drawn):
    _, _, X, phi = drawn(seed, 40, 25)
    X = X[:n_images]
    phi = phi / np.linalg.norm(phi, axis=0)
    expected, n_steps, converged = literal.reconstruct(X, phi)
    found = [kernel.encode(X, phi, part_rows=part_rows, n_threads=n_threads, keep=keep) for keep in (True, False)]
    code, error, stop = found[0]
    assert (stop.n_steps, stop.converged) == (n_steps, converged)
    np.testing.assert_allclose(error, expected, rtol=1e-10)
    np.testing.assert_allclose(code, literal.encode(X - np.mean(X), phi)[0], rtol=0, atol=1e-12)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("limit", "n_arrays"), [(0, 2), (2**30, 1)], ids=["run again", "kept"])
def test_codes_of_a_pass_are_kept_up_to_a_limit(limit, n_arrays, drawn, monkeypatch):
    _, _, X, phi = drawn()
    monkeypatch.setattr(kernel, "KEPT_NBYTES", limit)
    allocated = []

    def allocate(shape, dtype):
        allocated.append(shape)
        return np.zeros(shape, dtype)

    kernel.encode(X, phi, allocate=allocate)
    assert allocated == n_arrays * [(len(X), phi.shape[1])]
    assert kernel.kept_nbytes(len(X), phi.shape[1], "float32") == (kernel.KEPT_STEPS + 2) * len(X) * phi.shape[1] * 4


@pytest.mark.parametrize("keep", [True, False])
def test_codes_may_live_on_disk(keep, tmp_path, literal, drawn):
    _, _, X, phi = drawn()
    files = iter(range(9))

    def allocate(shape, dtype):
        return np.lib.format.open_memmap(tmp_path / f"{next(files)}.npy", mode="w+", dtype=dtype, shape=shape)

    code, error, _ = kernel.encode(X, phi, part_rows=32, keep=keep, allocate=allocate)
    assert isinstance(code, np.memmap)
    np.testing.assert_allclose(error, literal.reconstruct(X, phi)[0], rtol=1e-10)


def test_draws_are_in_the_order_of_the_method(drawn):
    rng, units, _, phi = drawn(7)
    ours = np.random.RandomState(7)
    np.testing.assert_array_equal(kernel.draw_units(ours, 200, 80), units)
    np.testing.assert_array_equal(kernel.draw_dictionary(ours, 80, 40), phi)
    np.testing.assert_array_equal(ours.choice(300, 50), rng.choice(300, 50))


def test_a_code_that_diverges_names_the_batch(drawn):
    rng, _, X, phi = drawn()
    what = r"training batch 1 of 3: the code diverged after \d+ steps: .* only below 0\.04 \(.* holds \d+% of"
    with pytest.raises(inner_loop.DivergedError, match=what):
        kernel.train(X, phi, rng, n_batches=3, batch_size=20, rule=Rule(step=50.0))
