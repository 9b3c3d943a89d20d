"""The estimator against scikit-learn's own checks and against the method."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from distspc import OlshausenField
from distspc.testing.stores import one_direction_activations, relu_activations

SMALL = {"n_codewords": 6, "n_batches": 5, "batch_size": 20, "n_jobs": 1}
TOGETHER = "by definition of the method, rows are encoded together: one mean of all rows, one stop"


def expected_failures(estimator: OlshausenField) -> dict[str, str]:
    return {"check_methods_subset_invariance": TOGETHER}


@parametrize_with_checks(
    [
        OlshausenField(**SMALL),
        OlshausenField(**SMALL, solver="converged"),
        OlshausenField(**SMALL, precision="float32"),
    ],
    expected_failed_checks=expected_failures,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def activations():
    return relu_activations(200, 90)


def test_follows_the_method_when_given_the_generator_that_drew_the_units(literal, activations):
    rng, _, X, phi = literal.draw(5, activations, 60, 30)
    phi, training_error, steps, _ = literal.train(X, phi, rng, 20, 40)
    error, _, _ = literal.reconstruct(X, phi)

    rng = np.random.RandomState(5)
    rng.choice(90, 60, replace=False)
    model = OlshausenField(30, n_batches=20, batch_size=40, random_state=rng).fit(X)

    np.testing.assert_array_equal(model.n_steps_, steps)
    np.testing.assert_allclose(model.components_.T, phi, rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.training_error_, training_error, rtol=1e-10)
    np.testing.assert_allclose(model.reconstruction_error(X), error, rtol=1e-10)
    np.testing.assert_allclose(model.transform(X), literal.encode(X - X.mean(), phi)[0], rtol=0, atol=1e-12)
    assert model.n_iter_ == 20
    assert model.converged_.all()


def test_works_in_a_pipeline(activations):
    model = OlshausenField(10, n_batches=5, batch_size=40, random_state=0)
    pipeline = make_pipeline(MaxAbsScaler(), model).set_output(transform="pandas")
    code = pipeline.fit_transform(activations)
    assert code.shape == (200, 10)
    assert list(code.columns[:2]) == ["olshausenfield0", "olshausenfield1"]


def test_a_seed_gives_the_same_model_again(activations):
    one, two = (OlshausenField(**SMALL, random_state=3).fit(activations) for _ in range(2))
    np.testing.assert_array_equal(one.components_, two.components_)


def test_converged_code_is_the_lasso_code(activations):
    model = OlshausenField(20, n_batches=10, batch_size=40, solver="converged", random_state=0).fit(activations)
    centred = activations - activations.mean()
    lasso = Lasso(alpha=0.1 / 90, fit_intercept=False, tol=1e-10, max_iter=100_000)
    expected = lasso.fit(model.components_.T, centred.T.astype(float)).coef_
    np.testing.assert_allclose(model.transform(activations), expected, atol=2e-3)
    residual = centred - expected @ model.components_
    np.testing.assert_allclose(model.reconstruction_error(activations), (residual**2).mean(axis=1), rtol=1e-4)


def test_batches_that_do_not_converge_are_counted_and_warned_about(activations):
    model = OlshausenField(**SMALL, max_iter=3, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"5 of 5 batches did not converge .* raise `max_iter`"):
        model.fit(activations)
    assert not model.converged_.any()
    np.testing.assert_array_equal(model.n_steps_, 3)
    with pytest.warns(ConvergenceWarning, match="the code did not converge"):
        model.transform(activations)


def test_a_code_that_diverges_is_an_error_that_names_the_batch(activations):
    with pytest.raises(ValueError, match=r"training batch 1 of 5: the code diverged .* take `step='stable'`"):
        OlshausenField(**SMALL, step=100.0, random_state=0).fit(activations)


def test_parameters_out_of_range_are_refused(activations):
    with pytest.raises(ValueError, match="'n_codewords' parameter of OlshausenField must be an int"):
        OlshausenField(0).fit(activations)


def test_the_stable_step_is_the_default_and_counts_what_it_shortened(activations):
    plain = OlshausenField(**SMALL, random_state=0).fit(activations)
    paper = OlshausenField(**SMALL, step="paper", random_state=0).fit(activations)
    np.testing.assert_array_equal(plain.components_, paper.components_)
    assert (plain.n_shortened_, paper.n_shortened_) == (0, 0)

    leaning = one_direction_activations(300, 800)
    leaning /= np.quantile(leaning, 0.95)
    size = {"n_codewords": 400, "n_batches": 4, "batch_size": 250, "n_jobs": 1, "random_state": 3}
    with pytest.raises(ValueError, match=r"training batch \d of 4: the code diverged .* take `step='stable'`"):
        OlshausenField(**size, step="paper").fit(leaning)
    stable = OlshausenField(**size).fit(leaning)
    assert stable.converged_.all()
    assert 0 < stable.n_shortened_ == (stable.step_ < 0.01).sum() < 4
    assert stable.reconstruction_error(leaning).mean() < leaning.var() / 20
