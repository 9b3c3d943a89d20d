"""Columns of a table: which are numbers, what their entries mean, and names as keys."""

import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.io.columns import (
    free_names,
    missing_notices,
    need_columns,
    normalised,
    numeric_columns,
    pick_columns,
    read_table,
    to_numbers,
    unique_keys,
)


def column(*entries, name="hit"):
    return pd.Series(entries, name=name, index=pd.Index(range(2, 2 + len(entries)), name="line"), dtype="str")


def test_keys_are_trimmed_and_numbers_lose_their_zeros():
    assert [normalised(key) for key in (" a/./b.jpg ", "a\\b", "0007", "7.0", 7, "e\u0301")] == [
        "a/b.jpg", "a/b", "7", "7", "7", "é",
    ]  # fmt: skip


def test_missing_entries_are_nan_and_others_that_are_no_number_are_named():
    found = to_numbers(column("0.5", "", "NA", "-999.0", "1e-1"), where="t.csv", missing=["-999"])
    np.testing.assert_array_equal(found, [0.5, np.nan, np.nan, np.nan, 0.1])
    with pytest.raises(InputError, match=r"t\.csv, column hit: not a number: 'x' in line 3.*--missing 'x'"):
        to_numbers(column("0.5", "x"), where="t.csv")
    with pytest.raises(InputError, match="Percentages are written without the sign"):
        to_numbers(column("50%"), where="t.csv")


def test_decimal_commas_beside_semicolons_are_points(tmp_path):
    (tmp_path / "t.csv").write_text("im;hit\n1;0,5\n2;1,25\n")
    table = read_table(tmp_path / "t.csv", what="scores")
    assert table["hit"].tolist() == ["0.5", "1.25"]
    assert "decimal commas are read as decimal points in column hit" in table.attrs["notices"][0]
    (tmp_path / "t.csv").write_text("im\thit\n1\t1,234\n2\t2,345\n")
    with pytest.raises(InputError, match=r"'1,234' may be 1234 or 1\.234"):
        read_table(tmp_path / "t.csv", what="scores")


def test_columns_of_numbers_are_found_and_the_others_are_said():
    table = pd.DataFrame(
        {"id": ["0", "1", "2"], "hit": [".1", ".2", ""], "text": list("abc"), "none": [""] * 3}, dtype="str"
    )
    names, said = pick_columns(table, where="t.csv")
    assert names == ["hit"]
    assert said == ["t.csv: left out, row numbers: column id", "t.csv: left out, text: column text",
                    "t.csv: left out, empty: column none"]  # fmt: skip
    assert numeric_columns(table, but=["hit"]) == []
    with pytest.raises(InputError, match=r"t\.csv has no column far; it has id, hit, text, none"):
        need_columns(table, ["far"], where="t.csv")


def test_markers_of_missing_values_are_counted():
    table = pd.DataFrame({"hit": ["0.5", "-9", "", "-9"]})
    (said,) = missing_notices(table, ["hit"], where="t.csv", missing=["-9"])
    assert said == "t.csv: 2 entries of column hit are read as missing (-9)"


def test_names_must_be_there_once():
    assert unique_keys(column("01", "2"), where="t.csv").tolist() == ["1", "2"]
    with pytest.raises(InputError, match="column hit: empty in line 3"):
        unique_keys(column("1", " "), where="t.csv")
    with pytest.raises(InputError, match=r"1 image occurs more than once: 1 \(in line 2, in line 3\)"):
        unique_keys(column("1", "1.0"), where="t.csv")


def test_taken_names_get_a_prefix():
    assert free_names(["hit", "norm", "score:norm"], {"norm"}) == {
        "hit": "hit", "norm": "score:score:norm", "score:norm": "score:norm",
    }  # fmt: skip
