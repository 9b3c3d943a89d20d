"""Settings of measures: what a field may be, and the keys of the study file."""

import re
from dataclasses import dataclass

import pytest

from distspc.measures.options import Options, real, whole, wholes, word


@dataclass(frozen=True)
class Some(Options):
    n_things: int = whole(3, most=9)
    weight: float = real(0.5, most=1)
    seeds: tuple[int, ...] = wholes((0, 1), most=99)
    kind: str = word("a", "b")


def test_keys_are_those_of_the_study_file_and_values_those_of_the_store():
    found = Some.of_keys({"n-things": 4, "seeds": [5], "weight": 1})
    assert found == Some(n_things=4, seeds=(5,), weight=1)
    assert found.recipe == {"n_things": 4, "weight": 1, "seeds": [5], "kind": "a"}
    assert Options.of_keys({}).recipe == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n-things": 0}, "n-things: invalid value 0: expected a whole number from 1 to 9"),
        ({"n-things": 2.0}, "n-things: invalid value 2.0: expected a whole number"),
        ({"weight": 1.5}, "weight: invalid value 1.5: expected a number from 0.0 to 1"),
        ({"weight": float("nan")}, "weight: invalid value nan"),
        ({"seeds": []}, "seeds: invalid value []: expected a list of different whole numbers from 0 to 99"),
        ({"seeds": [1, 1]}, "seeds: invalid value [1, 1]"),
        ({"seeds": 1}, "seeds: invalid value 1"),
        ({"kind": "c"}, "kind: invalid value 'c': expected one of a, b"),
        ({"n_thing": 1}, "n-thing: unknown key; did you mean 'n-things'?"),
    ],
)
def test_other_values_are_refused(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Some.of_keys(given)
