import pytest

from distspc.errors import InputError
from distspc.selection.options import Design, Effort, Limits


def test_the_stricter_of_both_ratios_holds_for_both_orders_of_a_pair():
    assert Limits(variance_ratio=(0.8, 1.25)).ratio == 1.25
    assert Limits(variance_ratio=(0.9, 2.0)).ratio == pytest.approx(1 / 0.9)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_smd": 0.0}, "max-smd: expected a number above 0, got 0"),
        ({"variance_ratio": (1.1, 1.3)}, "variance-ratio"),
        ({"max_correlation": 2.0}, "max-correlation"),
    ],
)
def test_limits_that_no_set_can_hold_are_refused(settings, named):
    with pytest.raises(InputError, match=named):
        Limits(**settings)


def test_effort_is_positive():
    with pytest.raises(InputError, match="time limit above 0 s"):
        Effort(time_limit=0)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"by": ()}, "one to three factors"),
        ({"by": ("a", "b", "c", "d")}, "one to three factors .* got 4"),
        ({"by": ("a", "a")}, "named twice"),
        ({"per_cell": 1}, "at least 2 images per cell"),
        ({"split": "halves"}, "expected one of quantiles, outer-terciles, got 'halves'"),
        ({"split": "outer-terciles", "levels": 3}, "--levels 3"),
        ({"cuts": {"b": (1.0,)}}, "cut points of b, which is no factor"),
    ],
)
def test_designs_that_make_no_cells_are_refused(settings, named):
    with pytest.raises(InputError, match=named):
        Design(**{"by": ("a",), "per_cell": 4, **settings})


def test_cells_are_levels_crossed():
    assert Design(("a", "b", "c"), 4).n_cells == 8
