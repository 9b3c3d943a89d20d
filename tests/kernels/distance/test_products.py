"""Matrix products, exact pairs, the centre."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from tests.kernels.distance.shared import rows_of_kind, true_squares


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


@pytest.mark.parametrize(("share", "chosen"), [(0.7, False), (0.8, True)])
def test_a_centre_is_chosen_where_it_holds_three_quarters_of_the_squares(share: float, chosen: bool) -> None:
    noise = rows_of_kind("relu", 200, 50, 0)
    noise -= noise.mean(axis=0)
    mean = np.sqrt(share / (1 - share) * float((noise.astype(float) ** 2).sum()) / noise.size)
    x = (noise + np.float32(mean)).astype(np.float32)
    assert (choose_centre(x, row_statistics(x).norm_sq) is not None) is chosen


def test_panels_that_are_summed_in_float64_are_no_longer_than_their_bound_says() -> None:
    # Whole numbers below 2**13: 1,024 of them add up exactly in float32, not twice as many.
    rng = np.random.default_rng(0)
    x, y = rng.integers(2**12, 2**13, (20, 4096)).astype(np.float32), np.ones((20, 4096), np.float32)
    found = products(x, y, centre=None, dtype=np.float32, out=np.empty((20, 20), order="F"))
    np.testing.assert_array_equal(found[:, 0], x.astype(np.int64).sum(axis=1))
