"""Ranges of a task against those of a tile, and the column of a tile that holds a target itself."""

import numpy as np

from distspc.distances.options import LayerOptions
from distspc.distances.tile import DistanceTask, pair_groups, self_columns
from distspc.store.store import Store


def test_a_target_is_its_own_column_only_where_the_tile_holds_it():
    assert self_columns((2, 6), (4, 9)).tolist() == [-1, -1, 0, 1]
    assert self_columns((0, 2), (2, 4)).tolist() == [-1, -1]
    assert self_columns((7, 11), (4, 9)).tolist() == [3, 4, -1, -1]


def test_codes_of_a_tile_are_those_of_its_rows_and_columns():
    codes = np.array([0, 1, 0, 2, 1])
    rows, columns = pair_groups(codes, (0, 2), (2, 5))
    assert rows.tolist() == [0, 1]
    assert columns.tolist() == [0, 2, 1]
    assert pair_groups(None, (0, 2), (2, 5)) is None


def test_positions_within_a_task():
    options = LayerOptions(store=Store("s.zarr"), layer="fc2")
    task = DistanceTask(options, targets=(10, 20), images=(100, 160), features=(0, 7), tile_rows=32)
    assert (task.n_targets, task.n_images, task.n_features) == (10, 60, 7)
    assert task.target_rows((12, 15)) == slice(2, 5)
    assert task.image_columns((100, 132)) == slice(0, 32)
