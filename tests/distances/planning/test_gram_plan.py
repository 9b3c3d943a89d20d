"""Tests of `distspc.distances.planning.gram_plan`."""

from __future__ import annotations

import numpy as np
import pytest

from distspc.distances.planning.cost import nominal_speeds
from distspc.distances.planning.gram_plan import CHUNK_ROWS, GramPlan, plan_grams, steps
from distspc.distances.planning.plan import LayerSize
from distspc.errors import InputError
from distspc.schedule import Workers, makespan

FC2 = LayerSize("fc2", 2222, (0, 2222), 4096, 64, 4096)
BLOCK1 = LayerSize("block1_pool", 2222, (0, 2222), 802_816, 64, 25_088)
MANY = LayerSize("fc2", 20_000, (0, 20_000), 4096, 64, 4096)


@pytest.mark.parametrize(
    "plan", [GramPlan(FC2, 2222, 4096), GramPlan(BLOCK1, 1024, 25_088), GramPlan(MANY, 4096, 4096)]
)
def test_every_pair_of_targets_and_every_feature_is_in_one_task(plan):
    n = plan.size.n_targets
    seen = np.zeros((-(-n // 16), -(-n // 16)), int)
    for rows, columns in plan.blocks:
        seen[slice(*(-(-edge // 16) for edge in rows)), slice(*(-(-edge // 16) for edge in columns))] += 1
    assert (seen[np.triu_indices(len(seen), 64)] == 1).all()
    assert ((seen + seen.T) > 0).all()
    assert plan.features[0][0] == 0
    assert plan.features[-1][1] == plan.size.n_features
    assert all(a[1] == b[0] for a, b in zip(plan.features, plan.features[1:], strict=False))


@pytest.mark.parametrize("memory", [2, 4, 16])
@pytest.mark.parametrize("n_workers", [1, 16, 64])
def test_tasks_fit_and_blocks_are_whole_chunks(n_workers, memory):
    workers = Workers(n_workers, 4, memory * 2**30)
    for plan in plan_grams([BLOCK1, FC2, LayerSize("wide", 9000, (0, 9000), 200_704, 64, 25_088)], workers).values():
        assert plan.task_nbytes <= memory * 2**30
        assert plan.n_targets == plan.size.n_targets or plan.n_targets % CHUNK_ROWS == 0


def test_more_workers_take_less_time():
    speeds = nominal_speeds(4)
    seconds = [
        makespan([steps(plan_grams([BLOCK1], Workers(n, 4, 9 * 2**30))["block1_pool"], speeds)], n) for n in (1, 4, 16)
    ]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] < seconds[0] / 4


def test_work_is_what_a_study_reads_and_multiplies():
    plan = GramPlan(FC2, 2222, 4096)
    assert plan.read_nbytes == 4 * 2222 * 4096  # the targets alone, once
    assert plan.flop == 2222**2 * 4096
    halves = GramPlan(FC2, 1111, 4096)
    assert halves.read_nbytes == 2 * plan.read_nbytes
    assert [step.n_tasks for step in steps(GramPlan(BLOCK1, 2222, 25_088), nominal_speeds(1))] == [32, 31, 1]


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"fc2: the smallest task of its Gram matrix needs .* may use 64.0 MiB"):
        plan_grams([FC2], Workers(1, 1, 64 * 2**20))
