from itertools import combinations, product

import numpy as np
import pytest

from distspc.selection.matching.balance import separation
from distspc.selection.matching.levels import find_candidates
from distspc.selection.matching.search import (
    broken_limits,
    first_scale,
    groups_of,
    real_figures,
    scale_of,
    search,
    swapped_set,
)
from distspc.selection.options import Design, Effort, Limits
from tests.selection.shared import BY, images


def candidates(n=400, by=BY, match=(), per_cell=12, must=()):
    return find_candidates(images(n), Design(by, per_cell), match, [], must)


def test_a_set_holds_all_limits_in_real_terms():
    found = candidates(match=["norm:fc2", "edge_density", "category"])
    limits = Limits()
    result = search(found, limits, 12, Effort(gap=0.1))
    assert np.bincount(found.cell[result.chosen]).tolist() == [12] * 4
    assert not broken_limits(found, result.chosen, limits)
    for label in ("indoor", "outdoor", "people"):
        counts = np.bincount(found.cell[result.chosen & (found.table["category"] == label).to_numpy()], minlength=4)
        assert len(set(counts)) == 1


def test_no_set_is_further_apart_than_the_best_found_by_trying_all():
    found = candidates(n=16, by=BY[:1], per_cell=3, match=["category"])
    labels = found.table["category"].to_numpy()
    members = [np.flatnonzero(found.cell == cell) for cell in (0, 1)]
    best = -np.inf
    for small, large in product(*(combinations(of_cell, 3) for of_cell in members)):
        if sorted(labels[list(small)]) == sorted(labels[list(large)]):
            chosen = np.zeros(len(found.cell), bool)
            chosen[[*small, *large]] = True
            best = max(best, separation(found, chosen)[BY[0]])
    result = search(found, Limits(), 3, Effort(gap=0))
    assert np.isfinite(best)
    assert separation(found, result.chosen)[BY[0]] == pytest.approx(best)


def test_the_same_seed_gives_the_same_set():
    found = candidates(match=["norm:fc2"])
    first, again = (search(found, Limits(), 12, Effort(seed=5)).chosen for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_images_that_must_be_in_are_in():
    found = candidates(must=["image3", "image14"])
    chosen = search(found, Limits(), 12, Effort()).chosen
    assert chosen[found.must].all()


def test_covariates_are_alike_everywhere_and_factors_within_their_levels():
    found = candidates(match=["norm:fc2"])
    assert [(group.name, group.cells) for group in groups_of(found)] == [
        ("norm:fc2", (0, 1, 2, 3)),
        (BY[0], (0, 1)),
        (BY[0], (2, 3)),
        (BY[1], (0, 2)),
        (BY[1], (1, 3)),
    ]


def test_scale_is_that_of_the_selected_images():
    found = candidates(match=["norm:fc2"])
    chosen = np.zeros(len(found.cell))
    for cell in range(4):
        chosen[np.flatnonzero(found.cell == cell)[:10]] = 1
    scale, group = scale_of(found, chosen), groups_of(found)[0]
    values = found.table["norm:fc2"].to_numpy()
    assert scale.centre["norm:fc2"] == pytest.approx(values[chosen > 0].mean())
    spreads = [values[(chosen > 0) & (found.cell == cell)].std(ddof=1) for cell in range(4)]
    assert scale.spread[group] == pytest.approx(min(spreads))


def test_a_limit_that_did_not_hold_is_tightened_alone():
    scale = first_scale(candidates(match=["norm:fc2"]))
    tighter = scale.tighter({"norm:fc2"})
    assert tighter.share_of("norm:fc2") < scale.share_of("norm:fc2")
    assert tighter.share_of(BY) == scale.share_of(BY)


def test_factors_count_in_their_spread_over_all_candidates():
    found = candidates()
    group = next(group for group in groups_of(found) if group.name == BY[0])
    everything = np.ones(len(found.cell), bool)
    means = [found.table[BY[0]].to_numpy()[found.cell == cell].mean() for cell in group.cells]
    worst, _ = real_figures(found, everything, group)
    assert worst == pytest.approx(abs(means[0] - means[1]) / found.table[BY[0]].std())


def test_swaps_find_a_set_where_many_small_cells_leave_the_program_without_one():
    found = candidates(match=["norm:fc2", "category"], per_cell=6, must=["image3"])
    limits = Limits()
    chosen = swapped_set(found, limits, 6, Effort())
    assert not broken_limits(found, chosen, limits)
    assert chosen[found.must].all()
    counts = [
        np.unique(found.table["category"].to_numpy()[chosen & (found.cell == c)], return_counts=True)[1].tolist()
        for c in range(4)
    ]
    assert counts == [counts[0]] * 4
