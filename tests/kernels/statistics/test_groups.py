"""Controlling for groups is controlling for a dummy variable of each."""

import doctest

import numpy as np
import pytest
from scipy import stats

from distspc.kernels.statistics import correlations as kernel
from distspc.kernels.statistics import groups as module
from distspc.kernels.statistics.groups import groups_of, one_group
from tests.kernels.statistics.shared import sample


def labelled(n=40, k=4, seed=2):
    return np.random.default_rng(seed).integers(0, k, n)


def dummies(labels):
    return (labels[:, None] == np.unique(labels)[1:]).astype(float)


def residuals(column, z):
    design = np.column_stack([np.ones(len(column)), z])
    return column - design @ np.linalg.lstsq(design, column, rcond=None)[0]


def slow(x, y, z, labels, method):
    """Rank all but the labels if asked, regress on controls and dummies, correlate the residuals."""
    if method == "spearman":
        x, y, z = stats.rankdata(x), stats.rankdata(y), stats.rankdata(z, axis=0) if z.size else z
    design = np.column_stack([z, dummies(labels)])
    return np.corrcoef(residuals(x, design), residuals(y, design))[0, 1]


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize("n_controls", [0, 2])
def test_groups_are_dummy_variables(method, n_controls):
    x, y, z = sample(c=n_controls, ties=True)
    labels = labelled()
    found = kernel.correlations(x, y, z, groups=groups_of(labels), method=method)
    np.testing.assert_allclose(found, [slow(column, y, z, labels, method) for column in x.T], atol=1e-10)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_every_resample_has_its_own_groups(method):
    x, y, z = sample(n=30, c=1, ties=True)
    labels = labelled(30, 3)
    draws = kernel.bootstrap_correlations(
        x, y, z, groups=groups_of(labels), method=method, n_bootstrap=15, random_state=4
    )
    rows = np.random.default_rng(4).integers(0, 30, size=(15, 30))
    for draw, row in zip(draws, rows, strict=True):
        expected = [slow(x[row, j], y[row], z[row], labels[row], method) for j in range(3)]
        np.testing.assert_allclose(draw, expected, atol=1e-9)


def test_the_jackknife_knows_groups():
    x, y, z = sample(n=12)
    labels = labelled(12, 2)
    for i, found in enumerate(kernel.jackknife_correlations(x, y, z, groups=groups_of(labels))):
        kept = np.arange(12) != i
        expected = kernel.correlations(x[kept], y[kept], z[kept], groups=groups_of(labels[kept]))
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_column_that_groups_explain_has_no_correlation():
    x, y, z = sample(c=0)
    labels = labelled()
    x[:, 1] = labels * 3.0
    found = kernel.correlations(x, y, z, groups=groups_of(labels))
    assert np.isnan(found[1])
    assert np.isfinite(found[[0, 2]]).all()
    assert np.isnan(kernel.correlations(x, labels.astype(float), z, groups=groups_of(labels))).all()


def test_one_group_is_the_mean():
    x, y, z = sample(c=1)
    np.testing.assert_allclose(
        kernel.correlations(x, y, z, groups=one_group(len(y))), kernel.correlations(x, y, z), atol=1e-12
    )


def test_examples_in_docstrings():
    assert doctest.testmod(module).failed == 0
