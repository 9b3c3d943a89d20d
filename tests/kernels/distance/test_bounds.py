"""The error bound of a product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.kernels.distance import bounds, candidates
from distspc.kernels.distance.bounds import error_bound, summed_bound
from distspc.kernels.distance.products import METRICS, products
from distspc.kernels.distance.rows import row_statistics
from tests.kernels.distance.shared import KINDS, rows_of_kind, true_squares


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


def test_bound_counts_panels_not_features() -> None:
    # 32 panels of 25,088 features: a term meets 25,088 + 31 roundings, not 802,816.
    assert error_bound(802_816, "float32").product == bounds.gamma(25_088 + 31 + 1, "float32")
    assert error_bound(802_816, "float64").product < 3e-13
    assert error_bound(802_816, "float64").sums < 3e-13


@settings(deadline=None, max_examples=40)
@given(
    n_features=st.integers(1, 5000),
    exponent=st.integers(-20, 20),
    offset=st.floats(-1e3, 1e3, width=32),
    centred=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_products_added_up_in_float64_are_within_their_bound(
    n_features: int, exponent: int, offset: float, centred: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = np.float32(2.0**exponent) * (rng.standard_normal((2, 3, n_features), dtype=np.float32) + np.float32(offset))
    centre = x.mean(axis=0) if centred else np.zeros(n_features, np.float32)
    out = products(x, y, centre=centre if centred else None, dtype=np.float32, out=np.empty((3, 3), order="F"))
    v, w = (rows.astype(np.longdouble) - centre for rows in (x, y))
    norms, bound = [np.sqrt((rows**2).sum(axis=1)) for rows in (v, w)], summed_bound(n_features)
    assert (np.abs(out - v @ w.T) <= bound.product * norms[0][:, None] * norms[1] + bound.tiny).all()


def test_short_panels_sharpen_the_bound_whatever_the_length() -> None:
    assert summed_bound(802_816, n_tiles=32).product == pytest.approx(1027 * 2.0**-24, rel=1e-3)
    assert summed_bound(802_816).forming == error_bound(802_816, "float64").forming
    assert summed_bound(300).tiny == error_bound(300, "float32").tiny


def test_gamma_without_meaning_is_infinite() -> None:
    assert bounds.gamma(2**24, "float32") == np.inf


@pytest.mark.parametrize(("kind", "dtype"), [("relu", np.float32), ("small", np.float64), ("large", np.float64)])
def test_products_go_to_float64_where_float32_ends(kind: str, dtype: type) -> None:
    statistics = row_statistics(rows_of_kind(kind, 5, 600, 0))
    assert bounds.product_dtype(statistics, statistics, error_bound(600, np.float32)) is dtype


def test_a_squared_norm_alone_can_end_float32() -> None:
    large, small = (row_statistics(np.float32(size) * rows_of_kind("relu", 5, 600, 0)) for size in (1e20, 1e-20))
    assert bounds.product_dtype(large, small, error_bound(600, np.float32)) is np.float64


def test_rows_that_are_copied_go_in_short_panels() -> None:
    assert bounds.panel_rows("float32", False) == bounds.PANEL
    assert bounds.panel_rows("float32", True) == bounds.PANEL_NBYTES // 4
    assert bounds.panel_rows("float64", False) == bounds.PANEL_NBYTES // 8


@pytest.mark.parametrize("metric", METRICS)
def test_a_search_for_the_largest_error_stays_within_the_bound(metric: str, record_property) -> None:
    """Few features, so that the bound is short: hill climbing from rows of many kinds, by what real products make."""
    rng, best = np.random.default_rng(0), 0.0
    for n_features, kind in ((4, "far from the origin"), (40, "near-duplicates"), (300, "relu")):
        x = rows_of_kind(kind, 24, n_features, 1)
        bound, share = error_bound(n_features, np.float32), 0.0
        for _ in range(60):
            tried = x * (1 + rng.uniform(-1, 1, x.shape) * rng.choice([1e-7, 1e-4, 1e-1])).astype(np.float32)
            rows = row_statistics(tried)
            square, left, right = candidates.estimates(
                products(tried, tried, centre=None, dtype=np.float32), rows, rows, bound, metric
            )
            reached = np.abs(square - true_squares(tried, tried, metric)) / (left[:, None] + right)
            np.fill_diagonal(reached, 0)
            assert reached.max() <= 1
            if reached.max() >= share:
                x, share = tried, float(reached.max())
        best = max(best, share)
    record_property("largest share of the bound", best)
    assert best > 0.03
