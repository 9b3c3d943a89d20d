import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.selection.matching.near_duplicates import cliques, identical_pairs, near_pairs, too_near


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "distinctiveness:fc2": [0.0, 0.0, 0.0, 5.0, 5.0, 90.0],
            "neighbour:fc2": ["b", "a", "a", "e", "d", "filler"],
        },
        index=list("abcdef"),
    )


def test_identical_images_are_pairs_whatever_the_floor():
    assert identical_pairs(table()) == [("a", "b"), ("a", "c")]


def test_neighbours_nearer_than_the_floor_are_pairs():
    assert near_pairs(table(), {"fc2": 6.0}) == [("a", "b"), ("a", "c"), ("d", "e")]
    assert near_pairs(table(), {"fc2": 100.0})[-1] == ("d", "e"), "a filler is no candidate"


def test_identity_is_passed_on_and_nearness_is_not():
    names = pd.Index(list("abcdef"))
    found = cliques([("a", "b"), ("d", "e"), ("e", "f")], names, identical=[("a", "b"), ("a", "c")])
    assert [group.tolist() for group in found] == [[0, 1], [0, 1, 2], [3, 4], [4, 5]]


def test_pairs_of_images_that_are_no_candidates_are_left_out():
    assert cliques([("a", "z")], pd.Index(["a", "b"])) == ()


def test_a_floor_needs_the_neighbours_of_its_layer():
    with pytest.raises(InputError, match="no nearest neighbours at 'fc1'; did you mean 'fc2'"):
        near_pairs(table(), {"fc1": 1.0})


def test_measured_distances_tell_all_pairs():
    points = {"a": 0.0, "b": 3.0, "c": 3.0, "d": 9.0}

    def distances(layer, images):
        x = np.array([points[name] for name in images])
        return np.abs(x[:, None] - x)

    assert too_near(distances, list("abcd"), {"fc2": 0.0}) == [("b", "c")]
    assert too_near(distances, list("abcd"), {"fc2": 3.5}) == [("a", "b"), ("a", "c"), ("b", "c")]
