import numpy as np
import pytest

from distspc.errors import InputError
from distspc.selection.matching.infeasible import NoSelectionError
from distspc.selection.selection import select_stimuli
from tests.selection.shared import BY, images


def refusal(table, **settings) -> NoSelectionError:
    with pytest.raises(NoSelectionError) as refused:
        select_stimuli(table, by=BY, **settings)
    return refused.value


def test_cells_with_too_few_candidates_are_named_and_counted():
    error = refusal(images(), per_cell=90)
    assert any(reason.startswith("cell small-large has ") for reason in error.reasons)
    (way,) = error.ways_out
    n = int(way.removeprefix("--per-cell "))
    assert len(select_stimuli(images(), by=BY, per_cell=n - 30).stimuli) == 4 * (n - 30)


def test_a_covariate_that_is_the_factor_is_named_and_leaving_it_out_is_possible():
    table = images()
    table["double"] = 2 * table[BY[0]] + np.random.default_rng(0).normal(0, 1, len(table))
    error = refusal(table, per_cell=12, match=["double", "edge_density"])
    assert "double cannot be matched: cell" in str(error)
    assert "standardised difference" in str(error)
    assert not any("edge_density" in way for way in error.ways_out)
    assert "leave --match double out" in error.ways_out
    assert select_stimuli(table, by=BY, per_cell=12, match=["edge_density"]).stimuli is not None


def test_what_is_said_to_be_possible_is_possible():
    table = images()
    table["near"] = table[BY[0]] + np.random.default_rng(0).normal(0, 180, len(table))
    error = refusal(table, per_cell=60, match=["near"])
    ways = dict(way.split() for way in error.ways_out if way.startswith("--"))
    n = int(ways["--per-cell"])
    assert len(select_stimuli(table, by=BY, per_cell=n, match=["near"], gap=0.1).stimuli) == 4 * n
    wider = float(ways["--max-smd"])
    assert len(select_stimuli(table, by=BY, per_cell=60, match=["near"], max_smd=wider, gap=0.1).stimuli) == 240


def test_a_category_that_fills_other_cells_is_named():
    table = images()
    table["kind"] = np.where(table[BY[0]] > table[BY[0]].median(), "x", "y")
    error = refusal(table, per_cell=12, match=["kind"])
    assert "category kind 'x' cannot be in equal counts: 0 in small-small" in str(error)
    assert "leave --match kind out" in error.ways_out


def test_more_images_that_must_be_in_than_a_cell_holds():
    table = images()
    small = table.index[(table[list(BY)] < table[list(BY)].median()).all(axis=1)][:5]
    assert "cell small-small must hold 5 (--must)" in str(refusal(table, per_cell=3, must=list(small)))


def test_identical_images_may_not_both_be_asked_for():
    table = images()
    table["neighbour:fc2"] = ""
    table.loc["image1", [BY[0], "neighbour:fc2"]] = [0.0, "image2"]
    with pytest.raises(InputError, match="--must: image1, image2 are identical"):
        select_stimuli(table, by=BY, per_cell=3, must=["image1", "image2"])
