"""Activations as tasks read them: memory that serves the next task, bytes that are counted."""

from __future__ import annotations

import numpy as np
import pytest

from distspc.distances import reading
from distspc.distances.options import LayerOptions
from distspc.distances.reading import Reader, category_codes, row_memory
from distspc.store.store import Store
from distspc.tasks import free_spare_memory
from distspc.testing.stores import make_store


def address(rows: np.ndarray) -> int:
    return rows.__array_interface__["data"][0]


def test_memory_serves_the_next_task_where_it_fits():
    free_spare_memory()
    with row_memory([5, 2, 2], 8) as (rows, *others):
        assert [part.shape for part in (rows, *others)] == [(5, 8), (2, 8), (2, 8)]
        assert {part.dtype for part in (rows, *others)} == {np.dtype("float32")}
        where = address(rows)
    with row_memory([4, 5], 8) as (again, _):
        assert address(again) == where
        with row_memory([4, 5], 8) as (beside, _):  # a task at the same time
            assert not np.shares_memory(again, beside)
    free_spare_memory()


def test_memory_of_another_size_is_let_go():
    free_spare_memory()
    for n in (100, 10, 200):
        with row_memory([n], 8) as (rows,):
            assert rows.shape == (n, 8)
    kept = reading._spare.take()
    assert kept.shape == (200, 8)
    assert reading._spare.take() is None  # one for a task at a time, and none of the smaller


def test_memory_of_a_task_that_failed_is_let_go():
    free_spare_memory()
    with pytest.raises(ValueError, match="no"), row_memory([3], 8):
        raise ValueError("no")
    assert reading._spare.take() is None


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("reading") / "s.zarr"
    made = make_store(path, n_targets=6, n_fillers=10, layers={"fc2": 70}, chunks={"image": 4, "feature": 32})
    return Store(path), made["fc2"]


def test_rows_are_read_by_range_and_by_position_and_counted(stored):
    store, x = stored
    read = Reader(LayerOptions(store=store, layer="fc2"), (10, 50))
    np.testing.assert_array_equal(read((3, 7)), x[3:7, 10:50])
    np.testing.assert_array_equal(read(np.array([1, 8, 15])), x[[1, 8, 15], 10:50])
    assert read.nbytes == 4 * 40 * (4 + 3)


def test_rows_go_where_they_are_told(stored):
    store, x = stored
    out = np.full((9, 70), np.nan, np.float32)
    rows = Reader(LayerOptions(store=store, layer="fc2"), (0, 70))((2, 5), out)
    assert np.shares_memory(rows, out)
    np.testing.assert_array_equal(out[:3], x[2:5])
    assert np.isnan(out[3:]).all()


def test_categories_are_told_apart_by_codes(stored):
    store, _ = stored
    assert category_codes(LayerOptions(store=store, layer="fc2")) is None
    codes = category_codes(LayerOptions(store=store, layer="fc2", category="category"))
    names = store.images.read("category")
    assert (np.equal.outer(codes, codes) == np.equal.outer(names, names)).all()
