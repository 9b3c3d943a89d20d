"""The plan of a layer: it fits, covers everything once, and reads little twice."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.distances.options import TileLimits
from distspc.distances.plan import (
    LayerSize,
    buffer_lengths,
    overlap,
    plan_distances,
    smallest_task_nbytes,
    tiles_beside,
)
from distspc.errors import InputError

sizes = st.integers(1, 3000)


@settings(deadline=None)
@given(
    n_targets=sizes,
    n_fillers=sizes,
    n_features=st.sampled_from([1, 4096, 25_088, 100_352, 802_816]),
    memory=st.integers(2**27, 2**35),
    n_workers=st.integers(1, 20),
    fillers_only=st.booleans(),
)
def test_plan_fits_and_covers_everything_once(n_targets, n_fillers, n_features, memory, n_workers, fillers_only):
    pool = (n_targets if fillers_only else 0, n_targets + n_fillers)
    problem = LayerSize("fc2", n_targets, pool, n_features, 64, min(n_features, 25_088))
    try:
        plan = plan_distances(problem, memory_nbytes=memory, n_workers=n_workers)
    except InputError:
        assert memory < 2**31
        return
    assert plan.task_nbytes <= memory
    for found, (start, stop) in ((plan.targets, (0, n_targets)), (plan.images, pool), (plan.features, (0, n_features))):
        assert [i for part in found for i in part] == sorted(i for part in found for i in part)
        assert (found[0][0], found[-1][1]) == (start, stop)
        assert all(a[1] == b[0] for a, b in pairwise(found))


BLOCK1 = LayerSize("block1_pool", 2222, (0, 10_264), 802_816, 64, 25_088)


@pytest.mark.parametrize(("memory", "whole_rows"), [(12 * 2**30, True), (2 * 2**30, False)])
def test_classic_set_is_read_once_whatever_the_memory(memory, whole_rows):
    plan = plan_distances(BLOCK1, memory_nbytes=memory)
    assert plan.whole_rows is whole_rows
    assert plan.read_nbytes == 10_264 * 802_816 * 4


def test_a_million_images_are_more_tiles():
    problem = LayerSize("fc2", 2222, (0, 1_000_000), 4096, 64, 4096)
    plan = plan_distances(problem, memory_nbytes=2**30)
    assert plan.n_tasks == 62
    assert plan.read_nbytes < 1.2 * 1_000_000 * 4096 * 4
    wide = plan_distances(LayerSize("block1_pool", 2222, (0, 1_000_000), 802_816, 64, 25_088), memory_nbytes=4 * 2**30)
    assert wide.task_nbytes <= 4 * 2**30
    assert wide.read_nbytes < 1.2 * 1_000_000 * 802_816 * 4


def test_memory_that_is_too_small_is_refused_with_a_way_out():
    with pytest.raises(InputError, match=r"block1_pool: the smallest distance task needs .* may use 64.0 MiB; give"):
        plan_distances(BLOCK1, memory_nbytes=2**26)


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
def test_the_smallest_task_is_what_the_plan_comes_down_to(chunk_features):
    size, limits = LayerSize("fc2", 500, (0, 2000), 4096, 16, chunk_features), TileLimits(fixed_nbytes=0)
    smallest = smallest_task_nbytes(size, limits)
    assert plan_distances(size, memory_nbytes=smallest, limits=limits).task_nbytes <= smallest
    with pytest.raises(InputError, match="the smallest distance task needs"):
        plan_distances(size, memory_nbytes=smallest - 1, limits=limits)


def test_what_may_be_read_again_decides_between_the_ways_to_cut():
    size = LayerSize("fc2", 500, (0, 2000), 4096, 16, 512)
    for share, whole_rows in ((float("inf"), True), (-float("inf"), False)):
        plan = plan_distances(size, memory_nbytes=None, limits=TileLimits(max_reread_share=share))
        assert plan.whole_rows is whole_rows
