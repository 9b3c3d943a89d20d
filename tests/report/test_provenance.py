"""Tests of: what a store says about how it was made and what went wrong, as plain data for the report."""

from distspc.report import provenance


def test_recipes_as_text():
    assert provenance.flattened({"n_units": 3, "a": {"b-c": [1, 2]}, "none": None}) == {"n units": "3", "a b c": "1, 2"}
