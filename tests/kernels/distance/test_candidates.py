"""Pairs that may be among the nearest, and the best so far."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.kernels.distance import candidates
from distspc.kernels.distance.bounds import error_bound
from distspc.kernels.distance.candidates import Nearest, Pairs, add_to_pool, as_distance, within_limit
from distspc.kernels.distance.products import products
from distspc.kernels.distance.rows import row_statistics
from tests.kernels.distance.shared import rows_of_kind, true_squares


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_error_is_the_derivation_s(dtype: str) -> None:
    # Literally the sum of the docstring of the kernel, for K = 700 features: one panel, no centre.
    x = rows_of_kind("relu", 6, 700, 0)
    rows, unit = row_statistics(x), float(np.finfo(dtype).eps) / 2
    roundings = lambda n, u: n * u / (1 - n * u)  # noqa: E731
    beta, delta = roundings(700 + 1, unit), roundings(512 + 1 + 3, 2.0**-53)
    phi, tiny = roundings(6, unit), 702 * 2 * float(np.finfo(dtype).tiny)
    square = (x.astype(np.longdouble) ** 2).sum(axis=1).astype(float)
    found = candidates._max_error(rows, error_bound(700, dtype), "euclidean")
    np.testing.assert_allclose(found, (beta + phi + delta) * square + tiny, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(limits=st.lists(st.floats(1e-37, 1e300), min_size=1, max_size=5))
def test_limits_in_another_type_still_limit_nothing_less(dtype: type, limits: list[float]) -> None:
    wide = candidates._rounded_up(np.array(limits), np.dtype(dtype))
    assert wide.dtype == dtype
    # Also after a rounding sum with another limit. (What is lost of smaller ones is less than the bound's `tiny`, which
    # every error that is added to them has.)
    total = (wide + wide[::-1]).astype(np.float64)
    assert (total >= np.array(limits) + np.array(limits)[::-1]).all()


@pytest.mark.parametrize("n_neighbours", [1, 3])
@pytest.mark.parametrize("kind", ["relu", "near-duplicates", "whole numbers", "far from the origin"])
def test_no_neighbour_is_left_out(kind: str, n_neighbours: int) -> None:
    x, y = (rows_of_kind(kind, n, 700, seed) for n, seed in ((20, 1), (200, 2)))
    y[7] = x[3]
    left, right = row_statistics(x), row_statistics(y)
    selection = candidates.select_candidates(
        products(x, y, centre=None, dtype=np.float32), left, right, bound=error_bound(700, np.float32),
        metric="euclidean", n_neighbours=n_neighbours, limit=np.full(20, np.inf), drop_zero=False,
        self_columns=np.full(20, -1),
    )  # fmt: skip
    squares = true_squares(x, y, "euclidean")
    bar = np.sort(squares, axis=1)[:, n_neighbours - 1 : n_neighbours]
    kept = np.zeros(squares.shape, dtype=bool)
    kept[selection.pairs.target, selection.pairs.image] = True
    assert (kept | (squares > bar)).all()
    assert (np.abs(selection.pairs.square - squares[kept]) <= selection.pairs.max_error).all()
    if kind == "relu":
        distances = np.sqrt(squares).astype(float)
        np.testing.assert_allclose(selection.pool_sum, np.where(kept, 0, distances).sum(axis=1), rtol=1e-6)
        assert (selection.pool_count == 200).all()
        assert len(selection.pairs) < 200


@pytest.mark.parametrize("metric", ["cosine", "correlation"])
def test_rows_that_cannot_be_scaled_get_scale_0(metric: str) -> None:
    x = np.array([[0, 0, 0], [7.7, 7.7, 7.7], [1, 2, 3]], dtype=np.float32)
    expected = {"cosine": [True, False, False], "correlation": [True, True, False]}[metric]
    assert (candidates.scales(row_statistics(x), metric) == 0).tolist() == expected


def test_nearest_breaks_ties_by_position() -> None:
    nearest = Nearest.empty(2, 2)
    nearest.update(np.array([0, 0, 0]), np.array([9, 4, 7]), np.array([1.0, 1.0, 1.0]))
    nearest.update(np.array([0, 1]), np.array([2, 5]), np.array([1.0, 3.0]))
    assert nearest.image.tolist() == [[2, 4], [5, -1]]
    assert nearest.distance.tolist() == [[1, 1], [3, np.inf]]


@given(data=st.data())
@settings(deadline=None, max_examples=50)
def test_nearest_is_the_sorted_beginning_in_any_order_of_arrival(data: st.DataObject) -> None:
    k = data.draw(st.integers(1, 4))
    distances = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=12))
    order = data.draw(st.permutations(range(len(distances))))
    cut = data.draw(st.integers(0, len(order)))
    nearest = Nearest.empty(1, k)
    for part in (order[:cut], order[cut:]):
        nearest.update(np.zeros(len(part), int), np.array(part, int), np.array([distances[i] for i in part], float))
    expected = sorted(range(len(distances)), key=lambda i: (distances[i], i))[:k]
    assert nearest.image[0, : len(expected)].tolist() == expected


def test_pairs_that_may_be_among_the_nearest_stay() -> None:
    square = np.array([1.0, 2.0, 9.0, 2.0 + 1e-12])
    pairs = Pairs(np.zeros(4, int), np.array([5, 6, 7, 8]), square, np.full(4, 1e-12))
    assert pairs.image[within_limit(pairs, 1, drop_zero=False)].tolist() == [5]
    assert pairs.image[within_limit(pairs, 2, drop_zero=False)].tolist() == [5, 6, 8]
    assert len(within_limit(pairs, 4, drop_zero=False)) == 4


def test_every_target_has_a_limit_of_its_own() -> None:
    pairs = Pairs(np.array([1, 0, 1, 0]), np.arange(4), np.array([5.0, 1.0, 4.0, 3.0]), np.zeros(4))
    assert within_limit(pairs, 1, drop_zero=False).tolist() == [1, 2]


def test_what_may_be_dropped_limits_nothing() -> None:
    pairs = Pairs(np.zeros(3, int), np.arange(3), np.array([1e-13, 1.0, 2.0]), np.full(3, 1e-12))
    assert within_limit(pairs, 1, drop_zero=True).tolist() == [0, 1]
    assert within_limit(pairs, 1, drop_zero=False).tolist() == [0]


def test_targets_themselves_and_other_groups_do_not_count() -> None:
    x = rows_of_kind("relu", 6, 700, 0)
    statistics, codes = row_statistics(x), np.array([0, 0, 0, 1, 1, 1])
    selection = candidates.select_candidates(
        products(x, x, centre=None, dtype=np.float32), statistics, statistics, bound=error_bound(700, np.float32),
        metric="euclidean", n_neighbours=5, limit=np.full(6, np.inf), drop_zero=False,
        self_columns=np.arange(6), groups=(codes, codes),
    )  # fmt: skip
    pairs = selection.pairs
    assert (selection.pool_count == 2).all()
    assert (pairs.target != pairs.image).all()
    assert (codes[pairs.target] == codes[pairs.image]).all()
    assert len(pairs) == 12


def test_rounding_that_shows_in_the_mean_is_told() -> None:
    apart, close = rows_of_kind("relu", 20, 700, 0), rows_of_kind("far from the origin", 20, 700, 0)
    for rows, expected in ((apart, False), (close, True)):
        statistics = row_statistics(rows)
        selection = candidates.select_candidates(
            products(rows, rows, centre=None, dtype=np.float64), statistics, statistics,
            bound=error_bound(700, np.float64), metric="euclidean", n_neighbours=1, limit=np.full(20, np.inf),
            drop_zero=False, self_columns=np.arange(20),
        )  # fmt: skip
        assert selection.cancellation is expected


def test_pairs_are_joined_shifted_and_chosen() -> None:
    one = Pairs(np.array([0, 1]), np.array([2, 3]), np.array([4.0, 9.0]), np.array([0.1, 0.2]))
    both = Pairs.joined([one, one.shifted(10, 20)])
    assert both.target.tolist() == [0, 1, 10, 11]
    assert both.image.tolist() == [2, 3, 22, 23]
    assert both[np.array([3])].max_error.tolist() == [0.2]
    assert len(Pairs.joined([])) == 0


def test_distances_of_estimates_below_zero_are_zero() -> None:
    assert as_distance(np.array([-1.0, 4.0]), "euclidean").tolist() == [0, 2]
    assert as_distance(np.array([-1.0, 4.0]), "cosine").tolist() == [0, 2]


def test_zeros_that_do_not_count_are_taken_from_the_pool() -> None:
    total, count = np.array([1.0, 1.0]), np.array([5, 5])
    add_to_pool(total, count, np.array([0, 0, 1]), np.array([2.0, 0.0, 3.0]), drop_zero=True)
    assert (total.tolist(), count.tolist()) == ([3, 4], [4, 5])
