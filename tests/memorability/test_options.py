"""The words of a correlation are the ones that the functions take."""

import inspect
from dataclasses import asdict
from typing import get_args

import pandas as pd
import pytest

from distspc import correlate
from distspc.errors import InputError
from distspc.memorability.options import INTERVALS, METHODS, Interval, Method, RelateOptions
from distspc.memorability.relations import relate
from distspc.memorability.two_tables import relate_tables

TABLE = pd.DataFrame({"a": [1.0, 2, 3, 5, 4, 7], "b": [2.0, 1, 4, 3, 6, 5]})


def test_every_word_is_taken():
    assert get_args(Method) == METHODS
    for method in METHODS:
        found = correlate(TABLE, "a", "b", method=method, n_bootstrap=10)
        assert found["method"].tolist() == [method]
    for interval in get_args(Interval):
        assert len(correlate(TABLE, "a", "b", interval=interval, n_bootstrap=10)) == 1


def test_other_words_are_named():
    with pytest.raises(InputError, match="kendall"):
        correlate(TABLE, "a", "b", method="kendall")
    with pytest.raises(InputError, match="normal"):
        correlate(TABLE, "a", "b", interval="normal")


@pytest.mark.parametrize("function", [relate, relate_tables, correlate])
def test_defaults_of_the_functions_are_those_of_the_options(function):
    taken = inspect.signature(function).parameters
    wanted = {name: value for name, value in asdict(RelateOptions()).items() if name in taken}
    assert set(wanted) >= {"n_bootstrap", "interval", "random_state"}
    assert {name: taken[name].default for name in wanted} == wanted


def test_sets_of_words():
    assert (METHODS, INTERVALS) == (("pearson", "spearman"), ("percentile", "bca"))
