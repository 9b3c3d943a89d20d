"""Plans for the workers there are: they fit, shorten the work as workers are added, and leave none idle."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.distances.options import TileLimits
from distspc.distances.planning.cost import nominal_speeds, steps
from distspc.distances.planning.cuts import LONGEST_S, SHORTEST_S, plan_layers, require_memory
from distspc.distances.planning.plan import LayerSize, smallest_plan
from distspc.errors import InputError
from distspc.layers import LAYERS, n_features
from distspc.schedule import Workers, makespan

sizes = st.integers(1, 3000)


def classic(n_images=10_264):
    return [
        LayerSize(name, 2222, (0, n_images), n_features(name), 64, min(25_088, n_features(name))) for name in LAYERS
    ]


def queue(n):
    """Workers of profile slurm-cpu."""
    return Workers(n, 4, int(0.6 * 16 * 2**30))


@settings(deadline=None, max_examples=40)
@given(
    n_targets=sizes,
    n_fillers=sizes,
    n_features=st.sampled_from([1, 4096, 25_088, 100_352, 802_816]),
    memory=st.integers(2**27, 2**35),
    n_workers=st.integers(1, 20),
    fillers_only=st.booleans(),
)
def test_a_plan_fits_wherever_the_smallest_does(n_targets, n_fillers, n_features, memory, n_workers, fillers_only):
    pool = (n_targets if fillers_only else 0, n_targets + n_fillers)
    size = LayerSize("fc2", n_targets, pool, n_features, 64, min(n_features, 25_088))
    workers = Workers(n_workers, 2, memory)
    if smallest_plan(size).task_nbytes > memory:
        with pytest.raises(InputError, match="the smallest distance task needs"):
            plan_layers([size], workers)
    else:
        assert plan_layers([size], workers)["fc2"].task_nbytes <= memory


@pytest.mark.parametrize(("n_workers", "times"), [(16, 12), (64, 40)])
def test_workers_shorten_the_distances_of_the_classic_study(n_workers, times):
    def seconds(n):
        plans = plan_layers(classic(), queue(n))
        return makespan([steps(plan, nominal_speeds(4)) for plan in plans.values()], n)

    assert seconds(1) / seconds(n_workers) >= times


@pytest.mark.parametrize("n_workers", [1, 4, 16, 64])
def test_tasks_take_some_seconds_and_all_workers_have_some(n_workers):
    plans = plan_layers(classic(), queue(n_workers))
    chains = {name: steps(plan, nominal_speeds(4)) for name, plan in plans.items()}
    assert max(step.seconds for chain in chains.values() for step in chain) <= LONGEST_S
    cut = [chain[0] for name, chain in chains.items() if plans[name].n_tasks > 1]
    assert all(tiles.seconds > SHORTEST_S / 2 for tiles in cut)
    assert sum(chain[0].n_tasks for chain in chains.values()) >= 1.5 * n_workers


def test_a_million_images_are_more_tasks_that_hold_no_more():
    few, many = (plan_layers(classic(n), queue(16))["fc2"] for n in (10_264, 1_000_000))
    assert (few.n_tasks, few.read_nbytes) == (1, 10_264 * 4096 * 4)
    assert 60 <= many.n_tasks < 70
    assert many.read_nbytes < 1.2 * 1_000_000 * 4096 * 4
    assert many.task_nbytes <= few.task_nbytes


def test_little_memory_cuts_features_and_reads_hardly_more():
    size = LayerSize("block1_pool", 2222, (0, 10_264), 802_816, 64, 25_088)
    plan = plan_layers([size], Workers(1, 1, 2 * 2**30))["block1_pool"]
    assert not plan.whole_rows
    assert plan.read_nbytes < 1.5 * 10_264 * 802_816 * 4


def test_limits_decide_whether_features_are_cut():
    size = LayerSize("fc2", 500, (0, 2000), 4096, 16, 512)
    for cut in (True, False):
        assert plan_layers([size], Workers(), TileLimits(feature_tiles=cut))["fc2"].whole_rows is not cut


def test_memory_that_is_too_small_is_refused_with_a_way_out():
    size = classic()[0]
    message = (
        r"block1_pool: the smallest distance task needs 2\d\d\.\d MiB of memory and may use 64\.0 MiB; give the "
        r"workers more memory \(`memory` in the profile of a queue, `memory-per-worker` in a local one\) or fewer "
        r"threads each"
    )
    with pytest.raises(InputError, match=message):
        require_memory(size, Workers(4, 1, 2**26))
