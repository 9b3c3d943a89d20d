"""Tests of `distspc.kernels.statistics.ridge`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge, RidgeCV

from distspc.kernels.statistics.ridge import centred_gram, cross_validate

PENALTIES = 10.0 ** np.arange(-2, 5)


def data(n=40, n_features=15, n_scores=2, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, n_features)) * rng.gamma(1, size=n_features) + 3
    weights = rng.standard_normal((n_features, n_scores))
    return x, x @ weights / 2 + rng.standard_normal((n, n_scores)) * 2 + 5


def folds_of(n, n_folds, seed=0):
    return np.random.default_rng(seed).permutation(np.arange(n) % n_folds)


def explicit(x, scores, folds, penalties):
    """The same from scikit-learn, from features: one fit for each fold and score, penalties by leave-one-out."""
    prediction, baseline = np.empty_like(scores), np.empty_like(scores)
    chosen = np.empty((folds.max() + 1, scores.shape[1]))
    for fold in range(folds.max() + 1):
        left = folds == fold
        for column in range(scores.shape[1]):
            y = scores[~left, column]
            model = RidgeCV(alphas=penalties).fit(x[~left], y)
            prediction[left, column], baseline[left, column] = model.predict(x[left]), y.mean()
            chosen[fold, column] = model.alpha_
    return prediction, baseline, chosen


@pytest.mark.parametrize("n_features", [3, 15, 200])
@pytest.mark.parametrize("n_folds", [2, 5, 10])
def test_it_is_scikit_learns_ridge_with_nested_penalties(n_features, n_folds):
    x, scores = data(n_features=n_features)
    folds = folds_of(len(x), n_folds)
    found = cross_validate(x @ x.T, scores, folds, PENALTIES)
    for name, expected in zip(found._fields, explicit(x, scores, folds, PENALTIES), strict=True):
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-8, err_msg=name)


@settings(deadline=None, max_examples=20)
@given(st.integers(6, 30), st.integers(1, 40), st.integers(2, 5), st.integers(0, 10**6))
def test_it_is_so_for_any_sizes(n, n_features, n_folds, seed):
    x, scores = data(n, n_features, 1, seed)
    folds = folds_of(n, n_folds, seed)
    found = cross_validate(x @ x.T, scores, folds, PENALTIES)
    prediction, _, chosen = explicit(x, scores, folds, PENALTIES)
    np.testing.assert_allclose(found.penalty, chosen)
    np.testing.assert_allclose(found.prediction, prediction, rtol=1e-8, atol=1e-8)


def test_one_penalty_is_kernel_ridge_on_centred_features():
    x, scores = data(n_features=60)
    folds = folds_of(len(x), 5)
    found = cross_validate(x @ x.T, scores, folds, [20.0])
    for fold in range(5):
        left = folds == fold
        mean, level = x[~left].mean(axis=0), scores[~left].mean(axis=0)
        model = KernelRidge(alpha=20.0).fit(x[~left] - mean, scores[~left] - level)
        np.testing.assert_allclose(found.prediction[left], model.predict(x[left] - mean) + level, rtol=1e-9)


def test_penalties_are_chosen_by_leaving_one_image_out_of_the_other_folds():
    x, scores = data(n=12, n_features=6, n_scores=1)
    folds = folds_of(12, 3)
    found = cross_validate(x @ x.T, scores, folds, PENALTIES)
    for fold in range(3):
        kept = np.flatnonzero(folds != fold)
        errors = []
        for penalty in PENALTIES:
            fits = [(i, Ridge(penalty).fit(x[kept[kept != i]], scores[kept[kept != i], 0])) for i in kept]
            errors.append(np.mean([(model.predict(x[[i]])[0] - scores[i, 0]) ** 2 for i, model in fits]))
        assert found.penalty[fold, 0] == PENALTIES[np.argmin(errors)]


def test_neither_the_means_of_features_nor_an_order_of_images_nor_of_penalties_matter():
    x, scores = data()
    folds = folds_of(len(x), 4)
    found = cross_validate(x @ x.T, scores, folds, PENALTIES)
    centred = cross_validate(centred_gram(x @ x.T), scores, folds, PENALTIES[::-1])
    order = np.random.default_rng(1).permutation(len(x))
    other = cross_validate((x @ x.T)[np.ix_(order, order)], scores[order], folds[order], PENALTIES)
    np.testing.assert_allclose(centred.prediction, found.prediction, rtol=1e-9)
    np.testing.assert_allclose(other.prediction, found.prediction[order], rtol=1e-9)


def test_centring_is_that_of_the_features():
    x, _ = data()
    centred = x - x.mean(axis=0)
    np.testing.assert_allclose(centred_gram(x @ x.T), centred @ centred.T, atol=1e-10)


def test_what_is_left_out_does_not_reach_the_fit():
    x, scores = data()
    folds = folds_of(len(x), 5)
    found = cross_validate(x @ x.T, scores, folds, PENALTIES)
    changed = scores + np.where(folds[:, None] == 2, 100.0, 0.0)
    other = cross_validate(x @ x.T, changed, folds, PENALTIES)
    left = folds == 2
    np.testing.assert_allclose(other.prediction[left], found.prediction[left], rtol=1e-9)
    np.testing.assert_allclose(other.penalty[2], found.penalty[2])


@pytest.mark.parametrize(
    ("folds", "penalties", "message"),
    [
        (np.zeros(6, int), [1.0], "6 images in 1 folds"),
        (np.array([0, 0, 2, 2, 2, 0]), [1.0], "none empty"),
        (np.array([0, 1, 1, 1, 1, 1]), [1.0], "6 images in 2 folds"),
        (np.arange(6) % 2, [0.0, 1.0], "each must be above 0"),
        (np.arange(6) % 2, [], "each must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(folds, penalties, message):
    x, scores = data(n=6)
    with pytest.raises(ValueError, match=message):
        cross_validate(x @ x.T, scores, folds, penalties)
