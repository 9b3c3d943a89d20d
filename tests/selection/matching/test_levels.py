import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.selection.matching.levels import find_candidates, level_of
from distspc.selection.options import Design
from tests.selection.shared import BY, images

VALUES = pd.Series(np.arange(1.0, 10.0), name="a")


def candidates(table, by=BY, match=(), exclude=(), must=(), **design):
    return find_candidates(table, Design(by, 4, **design), match, exclude, must)


def test_median_split():
    assert level_of(VALUES, Design(("a",), 2)).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_terciles_with_and_without_the_middle():
    assert level_of(VALUES, Design(("a",), 2, levels=3)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert level_of(VALUES, Design(("a",), 2, split="outer-terciles")).tolist() == [0, 0, 0, -1, -1, -1, 1, 1, 1]


def test_cut_points_take_the_place_of_quantiles():
    assert level_of(VALUES, Design(("a",), 2, cuts={"a": (2.0,)})).tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert level_of(VALUES, Design(("a",), 2, cuts={"a": (2.0, 8.0)})).tolist() == [0, 0, *[-1] * 6, 1]


@pytest.mark.parametrize("cuts", [(), (3.0, 2.0), (1.0, 2.0, 3.0)])
def test_cut_points_that_make_no_levels_are_refused(cuts):
    with pytest.raises(InputError, match="cut points of a: expected 1 or 2 in rising order for 2 levels"):
        level_of(VALUES, Design(("a",), 2, cuts={"a": cuts}))


def test_each_image_is_in_the_cell_of_its_levels():
    table = images()
    found = candidates(table)
    assert found.cells == ("small-small", "small-large", "large-small", "large-large")
    large = [table[name] > table[name].median() for name in BY]
    np.testing.assert_array_equal(found.cell, 2 * large[0] + large[1])


def test_correlated_factors_leave_few_images_off_the_diagonal():
    counts = candidates(images()).counts
    assert counts[1] + counts[2] < counts[0] + counts[3]
    assert counts.sum() == 400


def test_numbers_are_covariates_and_labels_categories():
    found = candidates(images().assign(natural=True), match=["norm:fc2", "category", "natural"])
    assert found.covariates == ("norm:fc2",)
    assert found.categories == ("category", "natural")


def test_images_without_a_value_are_left_out_and_counted():
    table = images()
    table.iloc[:3, 0], table.iloc[5, 2] = np.nan, np.inf
    found = candidates(table, match=["norm:fc2"])
    assert len(found.table) == 396
    assert found.notices == (
        f"3 images have no {BY[0]}: left out",
        "1 image has no norm:fc2: left out",
    )


def test_images_between_levels_are_counted():
    found = candidates(images(), split="outer-terciles")
    assert any("lie between the levels" in sentence for sentence in found.notices)


def test_excluded_images_are_no_candidates():
    assert "image7" not in candidates(images(), exclude=["image7"]).table.index


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"by": ("distinctivness:fc2",)}, "no measure 'distinctivness:fc2'; did you mean 'distinctiveness:fc2'"),
        ({"match": ["edge"]}, "no measure 'edge'"),
        ({"by": ("category",)}, "factor category is no column of numbers"),
        ({"match": [BY[0]]}, "both a factor and to be matched"),
        ({"match": ["constant"]}, "constant is 1 for all 400 images and cannot be matched: leave --match constant out"),
        ({"by": ("constant",)}, "constant is 1 for all 400 images and cannot be a factor: leave --by constant out"),
        ({"by": ("empty",)}, "no image has all of empty"),
        ({"exclude": ["imgae1"]}, "--exclude: no image is called imgae1; did you mean 'image1'"),
        ({"must": ["image1"], "exclude": ["image1"]}, "both in --exclude and --must: image1"),
    ],
)
def test_bad_input_is_one_sentence(settings, named):
    table = images().assign(constant=1.0, empty=np.nan)
    with pytest.raises(InputError, match=named):
        candidates(table, **settings)


def test_an_image_that_must_be_in_needs_its_values():
    table = images()
    table.iloc[0, 0] = np.nan
    with pytest.raises(InputError, match="--must: image0 cannot be in the set"):
        candidates(table, must=["image0"])
