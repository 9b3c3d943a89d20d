import numpy as np
import pytest

from distspc.selection.matching.balance import balance_table, correlations, separation, smd, variance_ratio
from distspc.selection.matching.levels import find_candidates
from distspc.selection.options import Design, Limits
from tests.selection.shared import BY, images

A, B = np.array([1.0, 2.0, 3.0, 6.0]), np.array([2.0, 4.0, 4.0, 10.0])


def test_standardised_difference_is_cohens_d():
    pooled = np.sqrt((A.var(ddof=1) + B.var(ddof=1)) / 2)
    assert smd(A, B) == pytest.approx((A.mean() - B.mean()) / pooled)
    assert smd(np.ones(3), np.ones(3)) == 0
    assert smd(np.ones(3), np.zeros(3)) == np.inf


def test_variance_ratio():
    assert variance_ratio(A, B) == pytest.approx(A.var(ddof=1) / B.var(ddof=1))
    assert variance_ratio(np.ones(3), np.ones(3)) == 1
    assert variance_ratio(A, np.ones(4)) == np.inf


def test_every_pair_of_cells_has_a_row_for_every_variable():
    found = find_candidates(images(), Design(BY, 4), ["norm:fc2", "category"], [], [])
    table = balance_table(found, np.ones(len(found.cell), bool), Limits())
    assert len(table) == 6 * 4
    of_norm = table[table["variable"] == "norm:fc2"].set_index(["cell_a", "cell_b"])
    row = of_norm.loc[("small-small", "large-large")]
    a, b = (found.table["norm:fc2"].to_numpy()[found.cell == cell] for cell in (0, 3))
    assert row["smd"] == pytest.approx(smd(a, b))
    assert row["mean_a"] == pytest.approx(a.mean())
    assert not row["within_limits"], "the factors and this covariate are correlated"


def test_cells_are_to_differ_in_the_factor_that_sets_them_apart_alone():
    found = find_candidates(images(), Design(BY, 4), [], [], [])
    table = balance_table(found, np.ones(len(found.cell), bool), Limits()).set_index(["variable", "cell_a", "cell_b"])
    assert table.loc[(BY[0], "small-small", "large-small"), "within_limits"] is None
    assert table.loc[(BY[1], "small-small", "large-small"), "within_limits"] is not None


def test_categories_are_alike_only_in_equal_counts():
    found = find_candidates(images(), Design(BY[:1], 4), ["category"], [], [])
    chosen = np.zeros(len(found.cell), bool)
    labels = found.table["category"].to_numpy()
    for cell in (0, 1):
        chosen[np.flatnonzero((found.cell == cell) & (labels == "indoor"))[:2]] = True
    table = balance_table(found, chosen, Limits())
    assert table[table["role"] == "category"]["within_limits"].tolist() == [True]
    chosen[np.flatnonzero((found.cell == 0) & (labels == "people"))[0]] = True
    table = balance_table(found, chosen, Limits())
    assert table[table["role"] == "category"]["within_limits"].tolist() == [False]


def test_correlation_and_separation():
    table = images()
    assert correlations(table, BY)[BY] == pytest.approx(table[list(BY)].corr().iloc[0, 1])
    found = find_candidates(table, Design(BY, 4), [], [], [])
    values = table[BY[0]]
    large = values > values.median()
    expected = (values[large].mean() - values[~large].mean()) / values.std(ddof=1)
    assert separation(found, np.ones(len(table), bool))[BY[0]] == pytest.approx(expected)
