"""The sparse-coding kernels against a literal transcription of the method."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from distspc.kernels.sparse_coding import inner_loop, scaling, spectral, stopping
from distspc.kernels.sparse_coding import training as kernel
from distspc.kernels.sparse_coding.inner_loop import InnerLoop
from distspc.kernels.sparse_coding.iteration import PAPER, Rule, soft_threshold
from distspc.kernels.sparse_coding.lasso import lasso_code
from distspc.kernels.sparse_coding.principal_components import principal_components
from distspc.kernels.statistics.reliability import seed_reliability
from distspc.kernels.threads import Threads, single_threaded_blas
from distspc.testing.stores import relu_activations


def load_oracle():
    path = Path(__file__).parents[2] / "oracles" / "sparse_coding.py"
    spec = importlib.util.spec_from_file_location("oracle_sparse_coding", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


oracle = load_oracle()
ACTIVATIONS = relu_activations(300, 200)


def drawn(seed=3, n_units=80, n_codewords=40):
    return oracle.draw(seed, ACTIVATIONS, n_units, n_codewords)


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    """Small matrices, many of them: on a busy machine, threads of BLAS wait for each other most of the time."""
    with threadpool_limits(1, "blas"):
        yield


# ---------------------------------------------------------------- the same numbers


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_training_is_the_method_to_rounding_with_the_same_steps(n_threads):
    rng, _, X, phi = drawn()
    expected = oracle.train(X, phi, rng, 30, 50)
    rng, _, X, phi = drawn()
    found = kernel.train(X, phi, rng, n_batches=30, batch_size=50, n_threads=n_threads)

    np.testing.assert_array_equal(found.n_steps, expected[2])
    np.testing.assert_array_equal(found.converged, expected[3])
    np.testing.assert_allclose(found.training_error, expected[1], rtol=1e-10)
    np.testing.assert_allclose(found.dictionary, expected[0], rtol=0, atol=1e-11)


def test_at_full_size_too():
    activations = relu_activations(400, 1500)
    rng, _, X, phi = oracle.draw(0, activations, 1000, 500)
    expected = oracle.train(X, phi, rng, 2, 250)
    rng, _, X, phi = oracle.draw(0, activations, 1000, 500)
    found = kernel.train(X, phi, rng, n_batches=2, batch_size=250)
    np.testing.assert_array_equal(found.n_steps, expected[2])
    np.testing.assert_allclose(found.training_error, expected[1], rtol=1e-9)


@pytest.mark.parametrize("part_rows", [None, 10])
def test_where_bounds_tell_nothing_the_definition_decides(part_rows):
    _, _, X, phi = drawn()
    phi = phi / np.linalg.norm(phi, axis=0)
    B = (X[:50] - np.mean(X[:50])).astype(float)
    states = np.zeros((50, 40)), np.zeros((50, 40))
    with single_threaded_blas(2) as n_threads, Threads(n_threads) as threads:
        loop = InnerLoop(
            50, 40, dtype=np.float64, rule=PAPER, threads=threads, part_rows=part_rows, margin=lambda dtype: 1e6
        )
        stop, _ = loop.run(B.__getitem__, phi, lambda rows, codes: None, states=states)
    assert stop.n_steps == oracle.encode(B, phi)[3]


@pytest.mark.parametrize("scale", [1e-3, 0.1, 3.0])
def test_training_is_the_method_at_other_scales_of_the_input(scale):
    # Small inputs leave the code at zero: the ratio is then 0 at the first step. Large ones take many steps.
    rng, _, X, phi = drawn()
    X = (X * scale).astype(np.float32)
    expected = oracle.train(X, phi, rng, 6, 40)
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


def test_a_batch_that_does_not_converge_ends_after_999_steps_with_the_stale_residual():
    X = ACTIVATIONS[:40, :30]
    phi = growing_dictionary()
    r, e, ok, n = oracle.encode(X - np.mean(X), phi)
    code, error, stop = kernel.encode(X, phi)
    assert (stop.n_steps, stop.converged) == (n, ok) == (999, False)
    np.testing.assert_allclose(code, r, rtol=1e-7)
    np.testing.assert_allclose(error, np.mean(e**2, axis=1), rtol=1e-7)


def test_batches_that_do_not_converge_leave_the_dictionary_alone(monkeypatch):
    monkeypatch.setattr(oracle, "EPS", 1e-9)
    rng, _, X, phi = drawn()
    expected = oracle.train(X, phi, rng, 3, 20)
    rng, _, X, phi = drawn()
    found = kernel.train(X, phi, rng, n_batches=3, batch_size=20, rule=Rule(tolerance=1e-9))
    assert not found.converged.any()
    np.testing.assert_array_equal(found.n_steps, expected[2])
    np.testing.assert_allclose(found.training_error, expected[1], rtol=1e-9)
    np.testing.assert_allclose(found.dictionary, phi / np.linalg.norm(phi, axis=0), rtol=1e-12)


def test_float32_is_close_and_says_so():
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
def test_any_cut_into_parts_gives_the_code_of_all_images_at_once(part_rows, n_threads, n_images, seed):
    _, _, X, phi = drawn(seed, 40, 25)
    X = X[:n_images]
    phi = phi / np.linalg.norm(phi, axis=0)
    expected, n_steps, converged = oracle.reconstruct(X, phi)
    code, error, stop = kernel.encode(X, phi, part_rows=part_rows, n_threads=n_threads)
    assert (stop.n_steps, stop.converged) == (n_steps, converged)
    np.testing.assert_allclose(error, expected, rtol=1e-10)
    np.testing.assert_allclose(code, oracle.encode(X - np.mean(X), phi)[0], rtol=0, atol=1e-12)


def test_codes_may_live_on_disk(tmp_path):
    _, _, X, phi = drawn()
    files = iter(range(9))

    def allocate(shape, dtype):
        return np.lib.format.open_memmap(tmp_path / f"{next(files)}.npy", mode="w+", dtype=dtype, shape=shape)

    code, error, _ = kernel.encode(X, phi, part_rows=32, allocate=allocate)
    assert isinstance(code, np.memmap)
    np.testing.assert_allclose(error, oracle.reconstruct(X, phi)[0], rtol=1e-10)


@pytest.mark.parametrize("part_rows", [None, 10])
def test_every_step_is_decided_as_singular_values_decide(part_rows):
    """However the cheap bounds answer, the ratio of the definition is on the same side of eps at every step."""
    _, _, X, phi = drawn()
    phi = phi / np.linalg.norm(phi, axis=0)
    with single_threaded_blas(2) as n_threads, Threads(n_threads) as threads:
        loop = InnerLoop(50, 40, dtype=np.float64, rule=PAPER, threads=threads, part_rows=part_rows)
        for seed in range(5):
            rows = np.random.RandomState(seed).choice(len(X), 50)
            B = (X[rows] - np.mean(X[rows])).astype(float)
            stop, _ = loop.run(
                B.__getitem__, phi, lambda rows, codes: None, states=(np.zeros((50, 40)), np.zeros((50, 40)))
            )
            assert stop.n_steps == oracle.encode(B, phi)[3]


# ---------------------------------------------------------------- norms


MATRICES = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.floats(-5, 5))


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


@given(codes=hnp.arrays(np.float64, (6, 4, 3), elements=st.floats(-3, 3)))
def test_line_bounds_enclose_the_norms_inside_a_pass(codes):
    norms = [np.linalg.norm(code, 2) for code in codes]
    squares = np.einsum("jrk,jrk->j", codes, codes)
    bounds = stopping.line_bounds(squares, stopping.end_products(codes), norms[0], norms[-1])
    assert (bounds >= np.array(norms[:-1]) - 1e-9).all()


def test_a_norm_of_nan_is_refused():
    with pytest.raises(FloatingPointError, match="NaN"):
        spectral.norm_of_gram(np.array([[np.nan]]))


@given(x=hnp.arrays(np.float64, 20, elements=st.floats(-2, 2)), threshold=st.floats(0, 1))
def test_soft_threshold_is_the_definition(x, threshold):
    expected = np.sign(x) * np.maximum(np.abs(x) - threshold, 0)
    np.testing.assert_array_equal(np.abs(soft_threshold(x.copy(), threshold)), np.abs(expected))


# ---------------------------------------------------------------- draw, scale, refuse


def test_draws_are_in_the_order_of_the_method():
    rng, units, _, phi = drawn(7)
    ours = np.random.RandomState(7)
    np.testing.assert_array_equal(kernel.draw_units(ours, 200, 80), units)
    np.testing.assert_array_equal(kernel.draw_dictionary(ours, 80, 40), phi)
    np.testing.assert_array_equal(ours.choice(300, 50), rng.choice(300, 50))


@settings(deadline=None)
@given(
    x=hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(-10, 10, width=32)),
    q=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    chunk=st.sampled_from([7, 64, 1000]),
)
def test_quantile_in_chunks_is_that_of_numpy(x, q, chunk):
    np.testing.assert_array_max_ulp(scaling.absolute_quantile(x, q, chunk=chunk), np.quantile(np.abs(x), q), 1)


def test_scale_is_the_quantile_of_all_entries_bit_by_bit():
    assert scaling.scale_quantile(ACTIVATIONS) == np.quantile(np.abs(ACTIVATIONS), 0.95)


def test_nearly_all_zeros_cannot_be_scaled():
    x = np.zeros((100, 10), np.float32)
    x[:4] = 1
    with pytest.raises(scaling.ZeroQuantileError, match=r"quantile .* is 0 \(96.0% of them are zero\)"):
        scaling.scale_quantile(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_activations_that_are_not_finite_are_refused(bad):
    x = np.ones((4, 4), np.float32)
    x[1, 2] = bad
    with pytest.raises(scaling.NotFiniteError, match="NaN or infinity"):
        scaling.scale_quantile(x)


def test_a_code_that_diverges_names_the_batch():
    rng, _, X, phi = drawn()
    what = r"training batch 1 of 3: the code diverged after \d+ steps: .* only below 0\.04 \(.* holds \d+% of"
    with pytest.raises(inner_loop.DivergedError, match=what):
        kernel.train(X, phi, rng, n_batches=3, batch_size=20, rule=Rule(step=50.0))


# ---------------------------------------------------------------- beside the paper's model


def test_principal_components_are_those_of_scikit_learn():
    model = principal_components(ACTIVATIONS, 20)
    pca = PCA(20, svd_solver="full").fit(ACTIVATIONS.astype(float))
    residual = ACTIVATIONS - pca.inverse_transform(pca.transform(ACTIVATIONS.astype(float)))
    np.testing.assert_allclose(model.error(ACTIVATIONS), np.mean(residual**2, axis=1), rtol=1e-9)
    with pytest.raises(ValueError, match="301 components of 300 rows"):
        principal_components(ACTIVATIONS, 301)


def test_lasso_code_satisfies_the_optimality_conditions():
    _, _, X, phi = drawn()
    B = (X - np.mean(X)).astype(float)
    code, converged = lasso_code(B, phi, 0.1, tolerance=1e-12)
    slope = (B - code @ phi.T) @ phi
    assert converged.all()
    assert (np.abs(slope) <= 0.1 + 1e-4).all()
    np.testing.assert_allclose(slope[code != 0], 0.1 * np.sign(code[code != 0]), atol=1e-4)


def test_reliability_is_that_of_shrout_and_fleiss():
    # Their table 2: six targets, four judges; ICC(3,1) = .71, ICC(3,4) = .91.
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    found = seed_reliability(ratings.T)
    assert (round(found.icc, 2), round(found.mean_icc, 2)) == (0.71, 0.91)
    assert found.mean_icc == pytest.approx(4 * found.icc / (1 + 3 * found.icc))
    assert (found.n_repeats, found.n_images) == (4, 6)


def test_reliability_needs_two_seeds():
    with pytest.raises(ValueError, match="at least 2 seeds"):
        seed_reliability(np.ones((1, 5)))
