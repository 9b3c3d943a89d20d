"""Kernels of the distances: the error bound, exact pairs, digests, candidates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.kernels.distance import bounds, candidates
from distspc.kernels.distance.bounds import error_bound
from distspc.kernels.distance.candidates import Nearest, Pairs, undecided
from distspc.kernels.distance.products import (
    METRICS,
    _triangle,
    choose_centre,
    pair_distances,
    products,
    symmetric_products,
)
from distspc.kernels.distance.rows import row_statistics
from distspc.kernels.threads import thread_parts


def true_squares(x: np.ndarray, y: np.ndarray, metric: str) -> np.ndarray:
    """Squared distance of every pair (of scaled rows but for euclidean), literally, in extended precision."""
    a, b = x.astype(np.longdouble), y.astype(np.longdouble)
    if metric == "correlation":
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    if metric != "euclidean":
        a, b = (v / np.sqrt((v**2).sum(axis=1, keepdims=True)) for v in (a, b))
    return np.array([[((row - other) ** 2).sum() for other in b] for row in a])


def rows_of_kind(kind: str, n: int, n_features: int, seed: int) -> np.ndarray:
    """Float32 rows of one difficult kind."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, n_features))
    values = {
        "relu": np.maximum(noise, 0),
        "near-duplicates": 1e4 * np.repeat(noise[: -(-n // 5)], 5, axis=0)[:n] + 1e-2 * noise,
        "far from the origin": 1e5 + noise,
        "two clusters": rng.choice([-1e5, 1e5], (n, 1)) + noise,
        "constant features": np.where(np.arange(n_features) % 2, 3.0, noise),
        "float16": noise.astype(np.float16),
        "small": 1e-30 * noise,
        "large": 1e37 * noise,
        "scales": 10.0 ** rng.integers(-15, 15, (n, 1)) * noise,
        "whole numbers": rng.integers(0, 3, (n, n_features)),
    }[kind]
    return np.ascontiguousarray(values, dtype=np.float32)


KINDS = (
    "relu",
    "near-duplicates",
    "far from the origin",
    "two clusters",
    "constant features",
    "float16",
    "small",
    "large",
    "scales",
    "whole numbers",
)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_true_distance_lies_within_the_bound(kind: str, metric: str) -> None:
    x, y = (rows_of_kind(kind, 12, 1100, seed) for seed in (1, 2))
    y[3] = x[2]
    for centre in (None, x.mean(axis=0, dtype=np.float64).astype(np.float32)):
        left, right = (row_statistics(rows, centre=centre) for rows in (x, y))
        for dtype in {bounds.product_dtype(left, right, error_bound(1100, "float32")), np.float64}:
            bound = error_bound(1100, dtype)
            product = products(x, y, centre=centre, dtype=dtype)
            square, left_error, right_error = candidates.estimates(product, left, right, bound, metric)
            wrong = np.abs(square - true_squares(x, y, metric))
            assert (wrong <= left_error[:, None] + right_error).all()


@settings(deadline=None, max_examples=40)
@given(
    n_features=st.integers(1, 3000),
    exponent=st.integers(-20, 20),
    offset=st.floats(-1e3, 1e3, width=32),
    seed=st.integers(0, 2**32 - 1),
)
def test_product_is_within_the_bound(n_features: int, exponent: int, offset: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = np.float32(2.0**exponent) * (rng.standard_normal((2, 3, n_features), dtype=np.float32) + np.float32(offset))
    bound = error_bound(n_features, np.float32)
    exact = x.astype(np.longdouble) @ y.astype(np.longdouble).T
    norms = [np.sqrt((rows.astype(np.longdouble) ** 2).sum(axis=1)) for rows in (x, y)]
    wrong = np.abs(products(x, y, centre=None, dtype=np.float32) - exact)
    assert (wrong <= bound.product * norms[0][:, None] * norms[1] + bound.tiny).all()


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 30), n_threads=st.integers(1, 9), centred=st.booleans(), dtype=st.sampled_from(["f4", "f8"]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_symmetric_products_are_products(n: int, n_threads: int, centred: bool, dtype: str, seed: int) -> None:
    x = rows_of_kind("whole numbers", n, 1100, seed)
    options = {"centre": np.ones(1100, np.float32) if centred else None, "dtype": np.dtype(dtype)}
    found = symmetric_products(x, n_threads=n_threads, **options)
    assert found.dtype == options["dtype"]
    # Whole numbers: exact in either type, whatever the order of adding up.
    np.testing.assert_array_equal(found, products(x, x, **options))


@given(n=st.integers(1, 40), n_threads=st.integers(1, 12))
def test_triangle_has_every_pair_once(n: int, n_threads: int) -> None:
    parts = thread_parts(n, n_threads)
    shares = _triangle(parts)
    assert len(shares) == len(parts) <= n_threads
    times = np.zeros((n, n), dtype=int)
    for rows, cols in (block for share in shares for block in share):
        times[rows, cols] += 1
        if rows != cols:
            times[cols, rows] += 1
    assert (times == 1).all()


def test_products_are_written_where_told() -> None:
    x, y = (rows_of_kind("relu", 5, 3000, seed) for seed in (1, 2))
    out = np.full((7, 9), np.nan)
    products(x, y, centre=None, dtype=np.float64, n_threads=2, out=out[1:6, 3:8])
    np.testing.assert_array_equal(out[1:6, 3:8], products(x, y, centre=None, dtype=np.float64))
    assert np.isnan(out).sum() == 63 - 25


def test_bound_counts_panels_not_features() -> None:
    # 32 panels of 25,088 features: a term meets 25,088 + 32 roundings, and a few more, not 802,816.
    assert error_bound(802_816, "float32").product == pytest.approx(25_128 * 2.0**-24, rel=1e-2)
    assert error_bound(802_816, "float64").product < 3e-13
    assert error_bound(802_816, "float64").sums < 3e-13


def test_gamma_without_meaning_is_infinite() -> None:
    assert bounds.gamma(2**24, "float32") == np.inf


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_features", [1, 2, 511, 512, 1025, 70_000])
def test_pair_distances_equal_brute_force(n_features: int, metric: str) -> None:
    if metric == "correlation" and n_features < 2:
        pytest.skip("one feature has no correlation")
    x, y = (rows_of_kind("near-duplicates", 10, n_features, seed) for seed in (1, 1))
    y[:, 0] += 1
    y[4] = x[1]
    rows, cols = np.arange(10), np.array([3, 4, 4, 0, 1, 5, 6, 7, 8, 9])
    found = pair_distances(x, y, rows, cols, metric=metric)
    squares = true_squares(x, y, metric)[rows, cols].astype(float)
    # Cosine and correlation: rows are scaled in float64, so a distance is exact to some 1e-16 of 1.
    expected = np.sqrt(squares) if metric == "euclidean" else squares / 2
    np.testing.assert_allclose(
        found, expected, rtol=1e-12 if metric == "euclidean" else 1e-6, atol=0 if metric == "euclidean" else 1e-24
    )
    assert found[1] == 0


@given(seed=st.integers(0, 1000), n_threads=st.integers(1, 3), data=st.data())
@settings(deadline=None, max_examples=20)
def test_a_pair_has_one_distance_however_called(seed: int, n_threads: int, data: st.DataObject) -> None:
    x = rows_of_kind("relu", 9, 1300, seed)
    rows, cols = (np.array(data.draw(st.lists(st.integers(0, 8), min_size=7, max_size=7))) for _ in range(2))
    together = pair_distances(x, x, rows, cols, metric="euclidean", n_threads=n_threads)
    alone = [
        pair_distances(x[[i]], x[[j]], np.array([0]), np.array([0]), metric="euclidean")[0]
        for i, j in zip(rows, cols, strict=True)
    ]
    assert together.tolist() == alone


def test_centre_is_chosen_where_it_helps() -> None:
    relu, far = rows_of_kind("relu", 20, 300, 0), rows_of_kind("far from the origin", 20, 300, 0)
    assert choose_centre(relu, row_statistics(relu).norm_sq) is None
    centre = choose_centre(far, row_statistics(far).norm_sq)
    assert centre is not None
    assert np.abs(centre - 1e5).max() < 2


@pytest.mark.parametrize(("kind", "dtype"), [("relu", np.float32), ("small", np.float64), ("large", np.float64)])
def test_products_go_to_float64_where_float32_ends(kind: str, dtype: type) -> None:
    statistics = row_statistics(rows_of_kind(kind, 5, 600, 0))
    assert bounds.product_dtype(statistics, statistics, error_bound(600, np.float32)) is dtype


def test_a_centre_shortens_the_panel_and_the_bound() -> None:
    assert error_bound(25_088, "float32", centred=True).product == bounds.gamma(2048 + 13 + 2 + 6, "float32")
    assert error_bound(25_088, "float32").product == bounds.gamma(25_088 + 1 + 2 + 6, "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_error_is_the_derivation_s(dtype: str) -> None:
    # Literally the sum of the docstring of the kernel, for K = 700 features: one panel, no centre.
    x = rows_of_kind("relu", 6, 700, 0)
    rows, unit = row_statistics(x), float(np.finfo(dtype).eps) / 2
    roundings = lambda n, u: n * u / (1 - n * u)  # noqa: E731
    beta, delta = roundings(700 + 1 + 2 + 6, unit), roundings(512 + 1 + 1 + 6, 2.0**-53)
    phi, tiny = roundings(6, unit), 702 * 2 * float(np.finfo(dtype).tiny)
    square = (x.astype(np.longdouble) ** 2).sum(axis=1).astype(float)
    found = candidates._max_error(rows, error_bound(700, dtype), "euclidean")
    if dtype == "float64":
        beta = roundings(700 + 1 + 2 + 6, unit)
    np.testing.assert_allclose(found, (beta + phi + delta) * square + tiny, rtol=1e-9)


def test_a_squared_norm_alone_can_end_float32() -> None:
    large, small = (row_statistics(np.float32(size) * rows_of_kind("relu", 5, 600, 0)) for size in (1e20, 1e-20))
    assert bounds.product_dtype(large, small, error_bound(600, np.float32)) is np.float64


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


# ---------------------------------------------------------------- the best so far


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


def test_estimates_that_are_apart_stand() -> None:
    pairs = Pairs(np.array([0, 0, 0]), np.array([5, 6, 7]), np.array([1.0, 2.0, 9.0]), np.full(3, 1e-12))
    which, again = undecided(pairs, 2, drop_zero=False, tolerance=1e-9)
    assert pairs.image[which].tolist() == [5, 6]
    assert not again.any()


@pytest.mark.parametrize(
    ("square", "max_error", "why"),
    [
        ([1.0, 1.0], 1e-12, "a tie"),
        ([1.0, 1.0 + 1e-12], 1e-12, "nearly a tie"),
        ([1e-6, 1.0], 1e-12, "too uncertain"),
        ([0.0, 1.0], 1e-12, "perhaps a duplicate"),
    ],
)
def test_estimates_in_doubt_are_computed_again(square: list[float], max_error: float, why: str) -> None:
    pairs = Pairs(np.zeros(2, int), np.arange(2), np.array(square), np.full(2, max_error))
    _, again = undecided(pairs, 1, drop_zero=False, tolerance=1e-9)
    assert again[0], why


def test_what_may_be_dropped_limits_nothing() -> None:
    pairs = Pairs(np.zeros(3, int), np.arange(3), np.array([1e-13, 1.0, 2.0]), np.full(3, 1e-12))
    assert undecided(pairs, 1, drop_zero=True, tolerance=1e-9)[0].tolist() == [0, 1]
    assert undecided(pairs, 1, drop_zero=False, tolerance=1e-9)[0].tolist() == [0]
