"""Permutation tests against SciPy, a literal Freedman-Lane loop, and what chance gives."""

import numpy as np
import pytest
from scipy import stats

from distspc.kernels.statistics.groups import groups_of
from distspc.kernels.statistics.permutation import permutation_p
from tests.kernels.statistics.shared import sample

NONE = np.empty((40, 0))


def fitted(column, design):
    return design @ np.linalg.lstsq(design, column, rcond=None)[0]


def freedman_lane(x, y, design, n_permutations, seed):
    """Literal: permute the residuals of the score, add them to its fit, and correlate residuals anew."""
    fit = fitted(y, design)
    rows = np.random.default_rng(seed).permuted(np.tile(np.arange(len(y)), (n_permutations, 1)), axis=1)

    def partial(column):
        return np.corrcoef(x - fitted(x, design), column - fitted(column, design))[0, 1]

    sample_r = partial(y)
    beyond = sum(abs(partial(fit + (y - fit)[row])) >= abs(sample_r) - 1e-12 for row in rows)
    return (beyond + 1) / (n_permutations + 1)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize("grouped", [False, True])
def test_partial_tests_are_those_of_a_literal_loop(method, grouped):
    x, y, z = sample(c=2, ties=True)
    y = np.random.default_rng(9).permutation(y)  # no large correlation, so that p is not at its end
    labels = np.random.default_rng(1).integers(0, 3, 40)
    groups = groups_of(labels) if grouped else None
    found = permutation_p(x, y, z, groups=groups, method=method, n_permutations=199, random_state=3)
    if method == "spearman":
        x, y, z = (stats.rankdata(part, axis=0) for part in (x, y, z))
    extra = (labels[:, None] == np.arange(1, 3)).astype(float) if grouped else np.empty((40, 0))
    design = np.column_stack([np.ones(40), z, extra])
    expected = [freedman_lane(x[:, j], y, design, 199, 3) for j in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert 0.005 < min(found) < max(found)


@pytest.mark.parametrize(("method", "statistic"), [("pearson", stats.pearsonr), ("spearman", stats.spearmanr)])
def test_zero_order_tests_are_scipys(method, statistic):
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=7), rng.normal(size=7)
    y += 0.5 * x

    def r(column):
        return statistic(column, y)[0]

    exact = stats.permutation_test((x,), r, permutation_type="pairings", n_resamples=np.inf)
    two_sided = np.mean(np.abs(exact.null_distribution) >= abs(r(x)) - 1e-12)
    found = permutation_p(x[:, None], y, np.empty((7, 0)), method=method, n_permutations=20_000)[0]
    assert found == pytest.approx(two_sided, abs=4 * np.sqrt(two_sided * (1 - two_sided) / 20_000))


def test_p_is_never_below_its_resolution_and_does_not_depend_on_blocks():
    x, _, _ = sample(c=0)
    for n_permutations in (99, 499):
        found = permutation_p(x, x[:, 0] + 1e-3 * x[:, 1], NONE, n_permutations=n_permutations)
        assert found[0] == pytest.approx(1 / (n_permutations + 1), abs=1e-15)
    pieces = permutation_p(x, x[:, 2], NONE, n_permutations=99, block_nbytes=8 * 40 * 7)
    np.testing.assert_array_equal(pieces, permutation_p(x, x[:, 2], NONE, n_permutations=99))


def test_chance_alone_gives_any_p():
    rng = np.random.default_rng(0)
    found = permutation_p(rng.normal(size=(40, 400)), rng.normal(size=40), rng.normal(size=(40, 1)), n_permutations=199)
    assert stats.kstest(found, "uniform").pvalue > 0.001
    assert np.mean(found < 0.1) == pytest.approx(0.1, abs=0.06)


def test_what_does_not_vary_has_no_p():
    x, y, z = sample(c=1)
    x[:, 1] = 2.0
    x[:, 2] = z[:, 0] * 3 + 1
    found = permutation_p(x, y, z, n_permutations=19)
    assert np.isfinite(found[0])
    assert np.isnan(found[1:]).all()
    assert np.isnan(permutation_p(x, np.ones(40), z, n_permutations=19)).all()
    assert np.isnan(permutation_p(x, z[:, 0] * 3 + 1, z, n_permutations=19)).all()


def test_permutations_that_are_the_sample_but_for_rounding_count_as_far_from_0():
    """Of six images in two halves a tenth of all permutations keep them, or turn them round."""
    x = np.repeat([0.1, 0.7], 3)
    y = np.array([3.3, 3.3, 3.3, 1.1, 1.1, 1.1]) / 7
    found = permutation_p(x[:, None], y, np.empty((6, 0)), n_permutations=999)[0]
    assert found == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 999))


def test_controls_that_repeat_one_another_count_once():
    x, y, z = sample(c=2)
    y = np.random.default_rng(9).permutation(y)
    repeated = np.column_stack([z, z[:, 0] * 3 - z[:, 1] / 7 + 1])
    found = permutation_p(x, y, repeated, n_permutations=199)
    np.testing.assert_array_equal(found, permutation_p(x, y, z, n_permutations=199))
