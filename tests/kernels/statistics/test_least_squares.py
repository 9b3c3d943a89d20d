"""Least squares against statsmodels and scikit-learn."""

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict

from distspc.kernels.statistics.least_squares import explain, r2_left_out


def sample(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n + k)
    x = rng.normal(size=(n, k))
    return x, x @ rng.normal(size=k) + 3 * rng.normal(size=n) + 7


@pytest.mark.parametrize(("n", "k"), [(40, 1), (25, 6)])
def test_a_fit_is_statsmodels(n, k):
    x, y = sample(n, k)
    ours, theirs = explain(x, y), sm.OLS(y, sm.add_constant(x)).fit()
    np.testing.assert_allclose(
        [ours.r2, ours.r2_adjusted, ours.p], [theirs.rsquared, theirs.rsquared_adj, theirs.f_pvalue], rtol=1e-9
    )


def test_what_predictors_add_is_statsmodels():
    x, y = sample(30, 5)
    theirs = sm.OLS(y, sm.add_constant(x)).fit().compare_f_test(sm.OLS(y, sm.add_constant(x[:, :2])).fit())
    assert explain(x, y).p_beyond(explain(x[:, :2], y)) == pytest.approx(theirs[1], rel=1e-9)


def test_a_predictor_named_twice_counts_once():
    x, y = sample(30, 2)
    once, twice = explain(x, y), explain(np.hstack([x, x]), y)
    assert twice.n_parameters == once.n_parameters == 3
    assert twice.p == pytest.approx(once.p, rel=1e-9)


def test_a_perfect_fit_is_certain():
    x = np.arange(8.0)[:, None]
    assert explain(x, np.where(x[:, 0] > 3, 1.0, 0.0)).p > 0
    assert explain(np.eye(4)[:, :1], np.eye(4)[:, 0]).p == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("n", "k", "n_folds"), [(40, 3, 10), (23, 4, 5), (10, 1, 10)])
def test_rows_left_out_are_predicted_as_by_scikit_learn(n, k, n_folds):
    x, y = sample(n, k)
    x[:, 0] = np.arange(n) == 4  # constant where its one row is left out
    folds = KFold(n_folds, shuffle=True, random_state=3)
    theirs = r2_score(y, cross_val_predict(LinearRegression(), x, y, cv=folds))
    assert r2_left_out(x, y, n_folds=n_folds, random_state=3) == pytest.approx(theirs, rel=1e-9)
