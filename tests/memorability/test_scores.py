"""Tests of `distspc.memorability.scores`."""

import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.memorability import scores
from tests.memorability.shared import written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("who,hit\nx,0.5\n", "no column im_ind; it has who, hit"),
        ("im_ind,hit\n1,0.5\n1.0,0.6\n", r"1 image occurs more than once: 1 .in line 2, in line 3."),
        ("im_ind,hit\n1,0.5\n,0.6\n", "empty in line 3"),
        ("im_ind,hit\n1,0.5\n2,high\n", "not a number: 'high' in line 3"),
        ("im_ind,hit\n1,0.5\n2,inf\n", "not a number: 'inf' in line 3"),
        ("im_ind,hit\n1,0.5\n2,1.2\n", r"column hit: outside \[0, 1\]: 1.2 in line 3"),
        ("im_ind,hit\n", "no column of numbers|has a header but no rows"),
        ("im_ind,hit,hit\n1,2,3\n", "more than one column is called hit"),
        ("im_ind,hit\n1,2,3,4\n1,2\n", "header has 2 columns, but line 2 has 4"),
        ("", "is not a table"),
    ],
)
def test_scores_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        scores.read_scores(written(tmp_path, text), image_column="im_ind", columns=["hit"])


def test_a_false_alarm_rate_below_zero(tmp_path):
    path = written(tmp_path, "im_ind;FA;corrected_hit\n1;-0.1;-0.2\n2;0.1;0.2\n")
    with pytest.raises(InputError, match=r"column FA: outside \[0, 1\]: -0.1 in line 2"):
        scores.read_scores(path, image_column="im_ind")


def test_no_scores_file(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        scores.read_scores(tmp_path / "none.csv", image_column="im_ind")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="is not a table of comma-separated values in UTF-8"):
        scores.read_scores(tmp_path / "binary.csv", image_column="im_ind")


def test_semicolons_byte_order_mark_and_missing_entries(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_bytes("\ufeffim_ind; hit\r\n1;0.5\r\n2;NA\r\n".encode())
    table = scores.read_scores(path, image_column="im_ind")
    np.testing.assert_array_equal(table["hit"], [0.5, np.nan])


@pytest.mark.parametrize(("n_beyond", "refused"), [(1, True), (2, True), (3, False), (4, False)])
def test_a_column_is_one_of_rates_while_no_more_than_half_of_it_is_beyond_them(n_beyond, refused):
    """Most beyond them: percentages or standardised values, which are called so, too."""
    values = np.array([0.25, 0.5, 0.75, 0.9])
    values[:n_beyond] += 60
    column = pd.Series(values, name="hit", index=list("abcd"))
    if refused:
        with pytest.raises(InputError, match=r"column hit: outside \[0, 1\]: 60.25"):
            scores.check_rates(column, where="scores")
    else:
        scores.check_rates(column, where="scores")
