"""What the tasks of a plan take."""

from __future__ import annotations

import pytest

from distspc.distances.planning.cost import Speeds, nominal_speeds, settled_at_once, steps, tile_seconds
from distspc.distances.planning.plan import DistancePlan, LayerSize
from distspc.schedule import work

SIZE = LayerSize("block4_pool", 100, (0, 1100), 2048, 10, 512)
WHOLE = DistancePlan(SIZE, 100, 1050, 2048, 50, 100)
TILES = DistancePlan(SIZE, 100, 1050, 512, 50, 25)
ALONE = {"store_nbytes": float("inf"), "partial_nbytes": float("inf"), "pairs": float("inf"), "task_s": 0.0}


def test_products_are_those_that_are_made():
    # Targets with each other in half the work: 1,050 images instead of 1,100.
    speeds = Speeds(products=1e6, **ALONE)
    for plan in (WHOLE, TILES):
        assert work([steps(plan, speeds)]) == pytest.approx(2 * 100 * 1050 * 2048 / 1e6)


def test_images_are_read_beside_the_products_and_targets_before():
    reading = {**ALONE, "store_nbytes": 4 * 2048.0}  # a row a second
    assert tile_seconds(WHOLE, Speeds(products=float("inf"), **reading)) == pytest.approx(100 + 1050)
    assert tile_seconds(WHOLE, Speeds(products=2 * 100 * 2048 / 2, **reading)) == pytest.approx(100 + 2 * 1050)


def test_tiles_are_added_up_looked_at_and_settled():
    speeds = Speeds(float("inf"), store_nbytes=4 * 2048.0, partial_nbytes=8.0, pairs=2.0, task_s=1.0)
    tiles, sums, search, settle, finish = steps(TILES, speeds)
    assert (tiles.n_tasks, tiles.seconds) == (4, 1 + (100 + 1050) / 4)
    assert (sums.n_tasks, sums.seconds) == (3, 1 + 100 * 1100)
    assert (search.n_tasks, search.seconds) == (1, 1 + 100 * 1100 / 2)
    assert (settle.n_tasks, settle.seconds) == (4, 1 + 50)
    assert (finish.n_tasks, finish.seconds) == (1, 1)
    assert settled_at_once(TILES, speeds, 20.0) == 10
    assert settled_at_once(WHOLE, speeds, 20.0) == 100


def test_threads_share_the_products():
    assert nominal_speeds(4).products == 4 * nominal_speeds(1).products
