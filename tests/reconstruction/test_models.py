"""The three models side by side: the same variables from each, and errors that are those of their reconstruction."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from distspc.kernels.sparse_coding import training
from distspc.reconstruction.models import fit_model
from distspc.reconstruction.options import ReconstructionOptions
from distspc.testing.stores import relu_activations

OPTIONS = ReconstructionOptions(
    n_units=12,
    n_codewords=6,
    n_batches=5,
    batch_size=20,
    sparsity=0.01,
    train_on="all",
    precision="float64",
    solver="paper",
)
X = relu_activations(60, 12, seed=3) / np.float32(2)


def fit(solver, *, first_row=0, seed=0):
    rng = np.random.RandomState(seed)
    return fit_model(X, replace(OPTIONS, solver=solver), rng, first_row=first_row, allocate=np.empty)


@pytest.mark.parametrize("solver", ["paper", "converged", "pca"])
def test_every_solver_gives_an_error_for_every_image_and_the_same_variables(solver):
    found = fit(solver)
    assert set(found) == set(fit("paper"))
    assert found["error"].shape == (60,)
    assert (found["error"] >= 0).all()
    assert found["training_error"].shape == found["converged"].shape == (5,)


def test_components_are_those_of_the_training_rows():
    found = fit("pca", first_row=10)
    centre = X[10:].mean(axis=0, dtype=np.float64)
    _, _, axes = np.linalg.svd(X[10:] - centre, full_matrices=False)
    left = (X - centre) - (X - centre) @ axes[:6].T @ axes[:6]
    np.testing.assert_allclose(found["error"], (left**2).mean(axis=1), rtol=1e-4, atol=1e-7)
    assert found["training_error"].tolist() == [pytest.approx(found["error"][10:].mean())] * 5


def test_a_seed_gives_the_same_numbers_again_and_another_others():
    np.testing.assert_array_equal(fit("paper")["error"], fit("paper")["error"])
    assert not np.array_equal(fit("paper")["error"], fit("paper", seed=1)["error"])


@pytest.mark.parametrize("solver", ["paper", "converged"])
def test_a_dictionary_is_trained_on_the_rows_from_the_first_on_and_errors_are_of_all(solver):
    found, rng = fit(solver, first_row=25), np.random.RandomState(0)
    first = training.draw_dictionary(rng, 12, 6)
    trained = training.train(X[25:], first, rng, n_batches=5, batch_size=20, rule=OPTIONS.rule, precision="float64")
    np.testing.assert_array_equal(found["dictionary"], trained.dictionary)
    np.testing.assert_array_equal(found["training_error"], trained.training_error)
    assert found["error"].shape == (60,)


def test_the_converged_code_is_the_fixed_point_of_the_papers_step():
    found = fit("converged")
    inputs, phi, rule = X - X.mean(), found["dictionary"], OPTIONS.rule
    code = np.zeros((60, 6))
    for _ in range(20_000):
        code += rule.step * (inputs - code @ phi.T) @ phi
        code = np.sign(code) * np.maximum(np.abs(code) - rule.sparsity, 0)
    expected = ((inputs - code @ phi.T) ** 2).mean(axis=1)
    assert found["encode_converged"]
    np.testing.assert_allclose(found["error"], expected, rtol=1e-3)


def test_a_step_that_was_not_shortened_is_not_counted():
    assert fit("paper")["n_shortened"] == 0
    assert fit("paper")["smallest_step"] == OPTIONS.rule.step


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(("n_units", "n_codewords", "n_images"), [(300, 200, 2000), (400, 60, 1200)])
def test_a_fit_takes_no_more_memory_than_is_planned_for_it(n_units, n_codewords, n_images, keep):
    options = replace(OPTIONS, n_units=n_units, n_codewords=n_codewords, n_batches=2, batch_size=250)
    x, rng = relu_activations(n_images, n_units, seed=1) / np.float32(2), np.random.RandomState(0)
    with threadpool_limits(1):
        tracemalloc.start()
        fit_model(x, options, rng, first_row=0, allocate=np.zeros, keep=keep)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    planned = options.held(n_images, 0 if not keep else None, 1).nbytes - x.nbytes
    planned += 0 if keep else x.nbytes + 2 * 8 * n_images * n_codewords  # those on disk
    assert 0.6 * planned < most < planned
