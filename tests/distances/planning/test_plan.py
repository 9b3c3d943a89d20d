"""The plan of a layer: it covers everything once, says what it reads and holds, and does not count by listing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distspc.distances.options import TileLimits
from distspc.distances.planning.plan import (
    DistancePlan,
    LayerSize,
    buffer_lengths,
    n_halved,
    overlap,
    smallest_plan,
    tiles_beside,
)


@st.composite
def plans(draw):
    n_targets, n_fillers, chunk = draw(st.integers(1, 90)), draw(st.integers(1, 90)), draw(st.integers(1, 9))
    n_features, pool = draw(st.integers(1, 50)), draw(st.sampled_from([0, n_targets]))
    chunk_features = draw(st.integers(1, n_features))
    size = LayerSize("fc2", n_targets, (pool, n_targets + n_fillers), n_features, chunk, chunk_features)
    return DistancePlan(
        size,
        n_targets=draw(st.integers(1, n_targets)),
        n_images=chunk * draw(st.integers(1, 20)),
        n_features=draw(st.sampled_from([n_features, chunk_features])),
        tile_rows=chunk,
        n_settled=draw(st.integers(1, n_targets)),
    )


@given(plans())
def test_a_plan_covers_everything_once(plan):
    size = plan.size
    whole = ((0, size.n_targets), size.pool, (0, size.n_features))
    for found, (start, stop) in zip((plan.targets, plan.images, plan.features), whole, strict=True):
        assert (found[0][0], found[-1][1]) == (start, stop)
        assert all(a[1] == b[0] for a, b in pairwise(found))
        assert all(a < b for a, b in found)
    assert all(edge % size.chunk_rows == 0 for _, edge in plan.images[:-1])
    if plan.settled:
        assert (plan.settled[0][0], plan.settled[-1][1]) == whole[0]
        assert all(a[1] == b[0] for a, b in pairwise(plan.settled))
        assert all(any(t[0] <= s[0] and s[1] <= t[1] for t in plan.targets) for s in plan.settled)


@given(plans())
def test_ranges_are_counted_without_making_them(plan):
    assert plan.counts == tuple(map(len, (plan.targets, plan.images, plan.features, plan.settled)))


@given(plans())
def test_a_task_has_no_more_than_the_plan_says(plan):
    assert max(b - a for a, b in plan.targets) <= plan.n_targets
    assert max(b - a for a, b in plan.images) <= plan.n_images + n_halved(plan.size, plan)
    assert max(b - a for a, b in plan.features) <= plan.n_features


BLOCK1 = LayerSize("block1_pool", 2222, (0, 10_264), 802_816, 64, 25_088)


def test_whole_rows_in_one_task_read_everything_once():
    plan = DistancePlan(BLOCK1, 2222, 10_304, 802_816, 256, 2222)
    assert (plan.n_tasks, plan.settled) == (1, ())
    assert plan.read_nbytes == 10_264 * 802_816 * 4


def test_every_range_of_images_reads_the_targets_again():
    plan = DistancePlan(BLOCK1, 2222, 4608, 802_816, 256, 2222)
    assert plan.images == ((0, 5760), (5760, 10_264))
    assert plan.read_nbytes == (10_264 + 2222) * 802_816 * 4


def test_feature_tiles_read_the_nearest_again():
    plan = DistancePlan(BLOCK1, 2222, 10_304, 25_088, 256, 1111)
    assert plan.n_tasks == 32 + 2
    assert plan.read_nbytes == (10_264 + 2 * 2222) * 802_816 * 4


def test_targets_that_are_multiplied_with_each_other_make_room_for_more_images():
    # Half of 2,222 to whole chunks: the first range has so many more, for as many products.
    plan = DistancePlan(BLOCK1, 2222, 2304, 802_816, 256, 2222)
    assert n_halved(BLOCK1, plan) == 1152
    assert plan.images[0] == (0, 1152 + 2304)
    assert {b - a for a, b in plan.images[1:-1]} == {2304}
    assert n_halved(BLOCK1, DistancePlan(BLOCK1, 1111, 2304, 802_816, 256, 1111)) == 0


def test_tiles_are_what_the_targets_leave():
    assert tiles_beside((64, 192), (0, 100), 64) == [(100, 128), (128, 192)]
    assert tiles_beside((0, 100), (0, 100), 64) == []


@given(
    images=st.tuples(st.integers(0, 40), st.integers(1, 40)),
    targets=st.tuples(st.integers(0, 40), st.integers(1, 40)),
    tile_rows=st.integers(1, 12),
)
def test_tiles_cover_all_images_but_the_targets_once(images, targets, tile_rows):
    images, targets = ((start, start + n) for start, n in (images, targets))
    tiles = tiles_beside(images, targets, tile_rows)
    assert [i for a, b in tiles for i in range(a, b)] == [i for i in range(*images) if not targets[0] <= i < targets[1]]
    assert all(a // tile_rows == (b - 1) // tile_rows for a, b in tiles)
    lengths = buffer_lengths(tiles)
    assert len(lengths) == min(2, len(tiles))
    assert all(n >= b - a for n in lengths for a, b in tiles)


@given(st.tuples(st.integers(0, 9), st.integers(0, 9)), st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_overlap_is_what_two_ranges_have_in_common(a, b):
    a, b = sorted(a), sorted(b)
    assert set(range(*overlap(tuple(a), tuple(b)))) == set(range(*a)) & set(range(*b))


@pytest.mark.parametrize("chunk_features", [4096, 512])
def test_no_plan_is_smaller_than_the_smallest(chunk_features):
    size, limits = LayerSize("fc2", 500, (0, 2000), 4096, 16, chunk_features), TileLimits(fixed_nbytes=0)
    smallest = smallest_plan(size, limits)
    assert smallest.n_targets == 1
    assert smallest.whole_rows is (chunk_features == 4096)
    larger = DistancePlan(size, 2, 16, smallest.n_features, 16, 1, limits)
    assert smallest.task_nbytes < larger.task_nbytes
