"""Every term and margin of the error bounds is needed: inputs built or searched for that reach beyond all others.

A bound is tried in two ways. Real products and sums of searched inputs must stay within it, and the largest share of it
that was reached is recorded. Then statistics and products that are off by as much as the derivation permits, whatever
BLAS in use here makes of them, in the direction that hurts most.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product as combinations

import numpy as np
import pytest

from distspc.kernels.distance import bounds, candidates
from distspc.kernels.distance.bounds import Bound, error_bound, gamma, summed_bound
from distspc.kernels.distance.candidates import Nearest, Pairs, estimates, select_candidates, within_limit
from distspc.kernels.distance.products import METRICS, pair_distances, products
from distspc.kernels.distance.rows import RowStatistics, row_statistics
from tests.kernels.distance.shared import rows_of_kind, true_squares

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def swallowed(n_features: int) -> np.ndarray:
    """A row whose square is summed with an error of a rounding unit for every feature but the first."""
    row = np.full((1, n_features), 2.0**-12, np.float32)
    row[0, 0] = 1
    return row


def one_after_the_other(x: np.ndarray, y: np.ndarray) -> np.float32:
    """Inner product in float32 in the order that is worst for `swallowed`."""
    total = np.float32(0)
    for a, b in zip(x[0], y[0], strict=True):
        total = np.float32(total + np.float32(a * b))
    return total


# ---------------------------------------------------------------- products


@pytest.mark.parametrize("n_features", [2, 16, 300, 1000])
def test_a_product_can_be_off_by_nearly_its_bound(n_features: int, record_property) -> None:
    x, bound = swallowed(n_features), error_bound(n_features, F32)
    square = 1 + (n_features - 1) * 2.0**-24
    many = np.repeat(x, 40, axis=0)  # BLAS goes about a few rows in another way
    found = (products(many, many, centre=None, dtype=F32)[20, 20], one_after_the_other(x, x))
    shares = [abs(float(value) - square) / (bound.product * square) for value in found]
    record_property("share of the bound, of BLAS and in the worst order", shares)
    assert max(shares) <= 1
    assert shares[1] == pytest.approx((n_features - 1) / (n_features + 1), rel=1e-2)


@pytest.mark.parametrize(("n_features", "dtype", "n_tiles", "centred"), [
    (1, F32, 1, False), (1, F32, 1, True), (700, F32, 1, False), (25_088, F32, 1, False), (25_089, F32, 1, False),
    (25_088, F32, 1, True), (802_816, F32, 1, False), (4096, F32, 3, True), (4096, F64, 1, False), (9, F64, 4, True),
])  # fmt: skip
def test_a_bound_has_a_rounding_for_all_that_a_term_meets(
    n_features: int, dtype: np.dtype, n_tiles: int, centred: bool
) -> None:
    # A term of the first panel of a tile that has all features but one for every other tile, followed all the way.
    panel = bounds.panel_rows(dtype, centred)
    met = 2 if centred else 0
    met += 1  # its product
    met += min(panel, n_features) - 1  # added to it in its panel
    met += -(-n_features // panel) - 1  # other panels
    met += n_tiles - 1  # other tiles
    assert error_bound(n_features, dtype, n_tiles=n_tiles, centred=centred).product == gamma(met + 1, dtype)
    square = 2 + 1 + min(512, n_features) - 1 + n_features // 512 + n_tiles - 1
    assert error_bound(n_features, dtype, n_tiles=n_tiles, centred=centred).sums == gamma(square + 1, F64)


@pytest.mark.parametrize(("n_features", "n_tiles"), [(1, 1), (1024, 1), (1025, 1), (802_816, 32), (700, 7)])
def test_the_bound_of_summed_products_has_one_for_all_sums_in_float64(n_features: int, n_tiles: int) -> None:
    in_float32 = 2 + 1 + min(1024, n_features) - 1
    in_float64 = -(-n_features // 1024) - 1 + n_tiles - 1
    found = summed_bound(n_features, n_tiles=n_tiles)
    assert found.product == gamma(in_float32 + 1, F32) + gamma(in_float64 + 1, F64)
    assert found.sums == error_bound(n_features, F64, n_tiles=n_tiles).sums


def test_centring_alone_takes_more_than_a_product_without_it(record_property) -> None:
    rng = np.random.default_rng(0)
    x, y = (1 + 1e-3 * rng.random((2, 400, 1))).astype(np.float32)
    centre = np.float32([-(2.0**-10) * rng.random()])
    v, w = (rows.astype(np.longdouble) - centre for rows in (x, y))
    off = np.abs(products(x, y, centre=centre, dtype=F32) - v @ w.T) / np.abs(v @ w.T)
    record_property("share of the bound", share := float(off.max() / error_bound(1, F32, centred=True).product))
    assert error_bound(1, F32).product < off.max()
    assert share <= 1


def test_products_that_underflow_are_off_by_more_than_their_size() -> None:
    x = np.float32([[1e-23] * 3, [1] * 3])
    bound, statistics = error_bound(3, F32), row_statistics(x)
    off = abs(float(products(x, x, centre=None, dtype=F32)[0, 0]) - 3e-46)
    assert bound.product * 3e-46 < off < bound.tiny
    # In one tile with larger rows they are left to float32, where their squared norms are 0, too.
    assert bounds.product_dtype(statistics, statistics, bound) is np.float32
    opposite = row_statistics(-x)
    square, left, right = estimates(products(x, -x, centre=None, dtype=F32), statistics, opposite, bound, "euclidean")
    assert square[0, 0] == 0
    assert abs(square[0, 0] - 1.2e-45) <= left[0] + right[0]


@pytest.mark.parametrize("size", [0.999, 1.001, 3.0, 7.9])
def test_opposite_rows_near_the_largest_float32_have_neighbours(size: float) -> None:
    """The sum of two squared norms and twice the product is four times as large, and must not become infinite."""
    x = np.full((1, 4), np.sqrt(size * bounds.LARGEST / 4), np.float32)
    y = np.concatenate([-x, np.float32(-0.9) * x])
    left, right = row_statistics(x), row_statistics(y)
    dtype = bounds.product_dtype(left, right, error_bound(4, F32))
    assert dtype is (np.float32 if size < 1 else np.float64)
    found = select(x, y, error_bound(4, dtype), dtype)
    assert 1 in found.pairs.image
    assert np.isfinite(found.pool_sum).all()
    if size == 7.9:  # what the guard is for
        with np.errstate(over="ignore"):
            assert len(select(x, y, error_bound(4, F32), np.float32).pairs) == 0


# ---------------------------------------------------------------- estimates


def select(x: np.ndarray, y: np.ndarray, bound: Bound, dtype: type, **options):
    """Candidates of rows `x` among `y`."""
    options = {"metric": "euclidean", "n_neighbours": 1, "drop_zero": False} | options
    return select_candidates(
        products(x, y, centre=None, dtype=dtype), row_statistics(x), row_statistics(y), bound=bound,
        limit=np.full(len(x), np.inf), self_columns=np.full(len(x), -1), **options,
    )  # fmt: skip


def test_forming_an_estimate_alone_takes_more_than_the_bound_of_the_product(record_property) -> None:
    """Of opposite numbers: their squares are rounded, then three and four times such a square."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(1, 2, (2, 200, 1)).astype(np.float32)
    y = -y
    left, right, bound = row_statistics(x), row_statistics(y), error_bound(1, F32)
    square, left_error, right_error = estimates(products(x, y, centre=None, dtype=F32), left, right, bound, "euclidean")
    off, norms = np.abs(square - true_squares(x, y, "euclidean")), left.norm_sq[:, None] + right.norm_sq
    shares = off / (left_error[:, None] + right_error)
    record_property("share of the bound", float(shares.max()))
    assert shares.max() <= 1
    assert (off / norms).max() > bound.product + bound.sums


def test_neighbours_whose_estimates_are_in_the_wrong_order_by_the_error_of_a_product_both_stay() -> None:
    x = swallowed(300)
    other = np.zeros_like(x)
    other[0, 0] = 1
    y, bound = np.concatenate([other, x]), error_bound(300, F32)
    product = np.array([[1.0, one_after_the_other(x, x)]], np.float32)
    left, right = row_statistics(x), row_statistics(y)
    square, *_ = estimates(product, left, right, bound, "euclidean")
    assert square[0, 0] < square[0, 1]  # though the second is the row itself
    found = select_candidates(
        product, left, right, bound=bound, metric="euclidean", n_neighbours=1, limit=np.array([np.inf]),
        drop_zero=False, self_columns=np.array([-1]),
    )  # fmt: skip
    assert 1 in found.pairs.image
    assert bound.forming + bound.sums < (square[0, 1] - square[0, 0]) / 4


def permitted(rows: RowStatistics, delta: float, signs: tuple[int, ...]) -> RowStatistics:
    """Statistics as far off as the bound of sums permits, with these signs."""
    a, b, c, d, e = (delta * sign for sign in signs)
    length = np.sqrt(rows.norm_sq * rows.n_features)
    return replace(
        rows,
        norm_sq=rows.norm_sq * (1 + a),
        sum=rows.sum + b * length,
        centred_norm_sq=rows.centred_norm_sq * (1 + c),
        dot_centre=rows.dot_centre + d * np.sqrt(rows.centred_norm_sq * rows.centre_norm_sq),
        centre_norm_sq=rows.centre_norm_sq * (1 + e),
    )


def worst_share(x: np.ndarray, centre: np.ndarray | None, metric: str, dtype: np.dtype, **less: float) -> float:
    """Largest error that products and sums may make, as a share of the bound of the estimate, `less` some terms."""
    n_features, delta = x.shape[1], error_bound(x.shape[1], dtype).sums
    bound = error_bound(n_features, dtype, centred=centre is not None)
    rows, true = row_statistics(x, centre=centre), true_squares(x, x, metric)
    v = x.astype(np.longdouble) - (0 if centre is None else centre)
    lengths = np.sqrt((v**2).sum(axis=1))
    worst = 0.0
    for sign, *signs in combinations((-1, 1), repeat=6):
        off = sign * (bound.product - float(np.finfo(dtype).eps) / 2) * lengths[:, None] * lengths
        product = (v @ v.T + off).astype(dtype)  # which is off by another rounding then
        off_rows = permitted(rows, delta, tuple(signs))
        square, left, right = estimates(product, off_rows, off_rows, replace(bound, **less), metric)
        worst = max(worst, float((np.abs(square - true) / (left[:, None] + right)).max()))
    return worst


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["relu", "near-duplicates", "far from the origin", "constant features"])
def test_nothing_that_is_permitted_goes_beyond_the_bound(
    kind: str, metric: str, dtype: np.dtype, record_property
) -> None:
    x = rows_of_kind(kind, 5, 600, 3)
    centres = (None, x.mean(axis=0, dtype=np.float64).astype(np.float32))
    shares = [worst_share(x, centre, metric, dtype) for centre in centres]
    record_property("share of the bound, without and with a centre", shares)
    assert max(shares) <= 1


@pytest.mark.parametrize(("term", "dtype", "metric", "kind", "centred"), [
    ("product", F32, "euclidean", "relu", False), ("product", F32, "cosine", "relu", False),
    ("sums", F64, "euclidean", "relu", False), ("sums", F64, "cosine", "far from the origin", True),
    ("sums", F64, "correlation", "far from the origin", True),
])  # fmt: skip
def test_no_term_of_the_bound_can_be_left_out(term, dtype, metric, kind, centred) -> None:
    x = rows_of_kind(kind, 5, 600, 3)
    centre = x.mean(axis=0, dtype=np.float64).astype(np.float32) if centred else None
    assert worst_share(x, centre, metric, dtype, **{term: 0.0}) > 1


@pytest.mark.parametrize("dtype", [F32, F64])
def test_rows_that_hardly_vary_take_six_of_the_sixteen_parts_of_the_sums(dtype, record_property) -> None:
    """Three of the sums and three of the scales' six at once; the others are of forming and of distances themselves."""
    rng = np.random.default_rng(0)
    pattern, sizes = rng.standard_normal((1, 600)), rng.uniform(0.5, 2, (5, 1)) * [[1], [-1], [1], [-1], [1]]
    x = (1 + 1e-5 * sizes * pattern).astype(np.float32)
    centre = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    sums = error_bound(600, dtype).sums
    record_property("share of the bound", share := worst_share(x, centre, "correlation", dtype))
    assert share <= 1
    assert worst_share(x, centre, "correlation", dtype, sums=5 / 16 * sums) > 1


# ---------------------------------------------------------------- limits


def unit_statistics(n: int) -> RowStatistics:
    """Statistics of rows of norm 1 with two features, of a sum of 1."""
    ones, none = np.ones(n), np.zeros(n)
    return RowStatistics(2, ones, ones, ones, none, none.astype(np.uint64), 0.0)


ROUNDING = 2 * gamma(515, F64)
"""Of the square of a distance: that of its block sums, in two distances that are compared."""


def test_an_estimate_that_is_off_by_its_bound_may_still_be_a_tie_but_for_rounding() -> None:
    # The best so far is at a distance of 1. Another has as much, a little less but for rounding in float64.
    nearest = Nearest.empty(1, 1)
    nearest.update(np.array([0]), np.array([9]), np.array([1.0]))
    bound, one = error_bound(2, F64), unit_statistics(1)
    error = 2 * float(candidates._max_error(one, bound, "euclidean")[0])
    square = 1 + ROUNDING + error * (1 - 1e-3)
    found = select_candidates(
        np.array([[(2 - square) / 2]]), one, one, bound=bound, metric="euclidean", n_neighbours=1,
        limit=nearest.limit("euclidean"), drop_zero=False, self_columns=np.array([-1]),
    )  # fmt: skip
    assert len(found.pairs) == 1


def test_ties_but_for_rounding_stay_where_all_is_in() -> None:
    pairs = Pairs(np.zeros(3, int), np.arange(3), np.array([1.0, 1 + ROUNDING, 1.1]), np.zeros(3))
    assert within_limit(pairs, 1, drop_zero=False).tolist() == [0, 1]


def test_the_allowance_for_ties_is_above_what_rounding_does_to_distances(record_property) -> None:
    # Squares that lose a rounding unit at every step of a block sum, however many are added up at a time.
    x = np.full((1, 70_000), 2.0**-27 * 1.4, np.float32)
    x[0, ::512] = 1
    zero, first = np.zeros_like(x), np.array([0])
    found = float(pair_distances(x, zero, first, first, metric="euclidean")[0]) ** 2
    true = sum(Fraction(float(value)) ** 2 * n for value, n in zip(*np.unique(x, return_counts=True), strict=True))
    record_property("share of the allowance", share := float(abs(Fraction(found) / true - 1)) / (candidates.TIE - 1))
    assert share < 1
    assert ROUNDING < candidates.TIE - 1


@pytest.mark.parametrize("many", [2, 8])
def test_what_may_be_dropped_limits_nothing_among_many(many: int) -> None:
    """Of two images that may be duplicates and two that are not, in one tile, the nearest that counts stays."""
    x = rows_of_kind("relu", 1, 700, 0)
    y = np.concatenate([np.repeat(x, many, axis=0), x + np.float32(0.1), x + np.float32(0.2)])
    found = select(x, y, error_bound(700, F32), np.float32, drop_zero=True)
    assert many in found.pairs.image


# ---------------------------------------------------------------- scales, and distances that cancel


def test_the_variance_that_rounding_makes_of_constant_rows_does_not_count(record_property) -> None:
    rng = np.random.default_rng(0)
    shares = [0.0]
    for n_features in (3, 700, 5000, 70_000):
        rows = row_statistics(np.repeat(rng.uniform(1, 2, (40, 1)).astype(np.float32), n_features, axis=1))
        spread = rows.norm_sq - rows.sum**2 / n_features
        shares.append(float((spread / rows.norm_sq).max()))
        assert (candidates.scales(rows, "correlation") == 0).all()
    record_property("largest variance of a constant row, as a share of the allowance", max(shares) / candidates.FLAT)
    assert max(shares) > 0
    assert 3 * error_bound(1_000_000, F64).sums < candidates.FLAT


def test_rows_that_vary_by_a_millionth_can_be_scaled() -> None:
    x = np.full((1, 700), 1.0, np.float32)
    x[0, ::2] += np.float32(4e-6)
    statistics = row_statistics(x)
    deviation = float(np.std(x.astype(float)) * np.sqrt(700))
    assert candidates.scales(statistics, "correlation")[0] == pytest.approx(deviation, rel=1e-3)


def test_mean_distances_are_left_to_float32_only_where_it_tells_them(record_property) -> None:
    """Pairs of rows at some share of their squared norms: below `CANCELLATION` float32 is off by more than 1e-6."""
    rng = np.random.default_rng(0)
    found = {}
    for share in (candidates.CANCELLATION / 16, candidates.CANCELLATION * 1.2):
        base = rng.standard_normal((1, 600))
        noise = rng.standard_normal((41, 600))
        x = (base + np.sqrt(share) * noise).astype(np.float32)
        selection = select(x[:1], x[1:], error_bound(600, F32), np.float32, n_neighbours=1)
        near = np.zeros(40, bool)
        near[selection.pairs.image] = True
        true = float(np.sqrt(true_squares(x[:1], x[1:], "euclidean")[0, ~near]).sum())
        found[share] = (selection.cancellation, abs(selection.pool_sum[0] / true - 1))
    record_property("relative errors of mean distances", [error for _, error in found.values()])
    (below, _), (above, error) = found.values()
    assert (below, above) == (True, False)
    assert error < 1e-6
