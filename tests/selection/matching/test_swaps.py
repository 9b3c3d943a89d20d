from dataclasses import replace

import numpy as np

from distspc.selection.matching.balance import separation
from distspc.selection.matching.levels import Candidates, find_candidates
from distspc.selection.matching.search import broken_limits
from distspc.selection.matching.swaps import Swaps
from distspc.selection.options import Design, Limits
from tests.selection.shared import BY, images


def candidates(match=("norm:fc2", "edge_density"), must=()) -> Candidates:
    return find_candidates(images(), Design(BY, 10), match, [], must)


def begun(found: Candidates, per_cell: int = 10) -> np.ndarray:
    """A set of the most extreme images of each cell."""
    chosen = np.zeros(len(found.cell), bool)
    distance = np.abs(found.table[BY[0]] - found.table[BY[0]].mean()).to_numpy()
    for cell in range(4):
        members = np.flatnonzero(found.cell == cell)
        chosen[members[np.argsort(distance[members])[-per_cell:]]] = True
    return chosen


def gain(found: Candidates) -> np.ndarray:
    return np.abs(found.table[BY[0]] - found.table[BY[0]].mean()).to_numpy()


def test_swaps_end_with_a_set_that_holds_all_limits():
    found = candidates()
    swaps = Swaps(found, Limits(), begun(found), gain(found))
    assert swaps.excess() > 0
    assert swaps.run(np.random.default_rng(0), 60)
    assert not broken_limits(found, swaps.chosen, Limits())
    assert np.bincount(found.cell[swaps.chosen]).tolist() == [10] * 4


def test_excess_is_0_just_where_no_limit_is_broken():
    found, rng = candidates(), np.random.default_rng(0)
    limits = Limits(max_smd=0.5, variance_ratio=(0.4, 2.5), max_correlation=0.2)
    seen = set()
    for _ in range(300):
        chosen = np.zeros(len(found.cell), bool)
        for cell in range(4):
            chosen[rng.choice(np.flatnonzero(found.cell == cell), 10, replace=False)] = True
        holds = Swaps(found, limits, chosen, gain(found)).excess() == 0
        assert holds == (not broken_limits(found, chosen, limits))
        seen.add(holds)
    assert seen == {True, False}


def test_labels_and_images_that_must_be_in_stay():
    found = candidates(match=["norm:fc2", "category"], must=["image3"])
    start = begun(found)
    start[np.flatnonzero(found.must)[0]] = True
    spare = np.flatnonzero(start & (found.cell == found.cell[found.must][0]) & ~found.must)[0]
    start[spare] = False
    swaps = Swaps(found, Limits(), start, gain(found))
    labels = found.table["category"].to_numpy()
    before = [sorted(labels[start & (found.cell == cell)]) for cell in range(4)]
    swaps.run(np.random.default_rng(0), 60)
    assert swaps.chosen[found.must].all()
    assert [sorted(labels[swaps.chosen & (found.cell == cell)]) for cell in range(4)] == before


def test_near_duplicates_stay_apart():
    found = candidates()
    start = begun(found)
    groups = [[int(i), int(j)] for i, j in zip(np.flatnonzero(start), np.flatnonzero(~start), strict=False)]
    found = replace(found, cliques=tuple(np.array(group) for group in groups))
    swaps = Swaps(found, Limits(), start, gain(found))
    swaps.run(np.random.default_rng(0), 60)
    assert all(swaps.chosen[group].sum() <= 1 for group in groups)


def test_swaps_go_on_to_separate_the_factors():
    found = candidates(match=())
    limits = Limits(max_smd=2.0, max_correlation=0.9)
    chosen = np.zeros(len(found.cell), bool)
    for cell in range(4):
        chosen[np.flatnonzero(found.cell == cell)[:10]] = True
    swaps = Swaps(found, limits, chosen, gain(found))
    swaps.run(np.random.default_rng(0), 60)
    assert separation(found, swaps.chosen)[BY[0]] > separation(found, chosen)[BY[0]]
