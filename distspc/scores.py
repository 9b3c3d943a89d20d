"""Scores of images: read a table that somebody made, and check it."""

from __future__ import annotations

import csv
import io
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distspc.errors import InputError

RATES = {
    **dict.fromkeys(("hit", "hits", "hit_rate", "hr", "fa", "far", "fas", "fa_rate"), (0.0, 1.0)),
    **dict.fromkeys(("false_alarm", "false_alarms", "false_alarm_rate"), (0.0, 1.0)),
    **dict.fromkeys(("corrected_hit", "corrected_recognition", "cr", "memorability"), (-1.0, 1.0)),
    **dict.fromkeys(("memorability_w_fa_correction", "memorability_wo_fa_correction"), (-1.0, 1.0)),
}
"""Columns known to hold rates, with the range a rate can have."""

_MISSING = {"", "na", "n/a", "nan", "null", "none", "."}
_NUMBER = re.compile(r"0*(\d+)(\.0+)?")


def listed(names: Iterable[object], *, most: int = 5) -> str:
    """Return the first few names and how many more there are."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def normalised(key: object) -> str:
    """Key for comparison: trimmed, in NFC, paths with plain slashes, numbers without zeros in front or ``.0``."""
    text = unicodedata.normalize("NFC", str(key).strip()).replace("\\", "/")
    text = posixpath.normpath(text) if "/" in text else text
    number = _NUMBER.fullmatch(text)
    return number.group(1) if number else text


def read_table(path: str | Path, *, what: str) -> pd.DataFrame:
    """Read a delimited table (comma, semicolon or tab) as text, indexed by the line of the file.

    Raises
    ------
    InputError
        If there is no such file, it is no text table, a row has too many or too few entries, or two columns have one
        name.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{what} {path}: there is no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, [entry.strip() for entry in row]) for row in reader if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{what} {path} is not a table of comma-separated values in UTF-8: {error}") from error
    if not rows:
        raise InputError(f"{what} {path} is not a table: it is empty")
    names, rows = rows[0][1], rows[1:]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{what} {path}: more than one column is called {listed(twice)}")
    odd = [f"line {line} has {len(row)}" for line, row in rows if len(row) != len(names)]
    if odd:
        raise InputError(f"{what} {path}: the header has {len(names)} columns, but {listed(odd)}")
    index = pd.Index([line for line, _ in rows], name="line", dtype="int64")
    return pd.DataFrame([row for _, row in rows], columns=pd.Index(names), index=index, dtype="str")


def _places(column: pd.Series, flags: np.ndarray) -> list[str]:
    """Where entries stand: the line of the file, or the name of the image."""
    kind = "in line" if column.index.name == "line" else "for"
    return [f"{kind} {label}" for label in column.index[flags]]


def need_columns(frame: pd.DataFrame, names: Sequence[str], *, where: str) -> None:
    """Raise InputError naming the columns that are not there and those that are."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InputError(f"{where} has no column {listed(missing)}; it has {listed(frame.columns, most=40)}")


def to_numbers(column: pd.Series, *, where: str) -> pd.Series:
    """Numbers of a column of text, NaN for empty entries.

    Raises
    ------
    InputError
        If an entry is not a finite number; names the lines.
    """
    text = column.astype(str).str.strip()
    empty = text.str.lower().isin(_MISSING)
    numbers = pd.to_numeric(text.where(~empty, "nan"), errors="coerce").astype("float64")
    bad = ((numbers.isna() & ~empty) | np.isinf(numbers)).to_numpy()
    if bad.any():
        entries = [f"{entry!r} {place}" for entry, place in zip(text[bad], _places(column, bad), strict=True)]
        raise InputError(f"{where}, column {column.name}: not a number: {listed(entries)}. Leave unknown scores empty")
    return numbers


def _is_numeric(column: pd.Series) -> bool:
    try:
        return bool(to_numbers(column, where="").notna().any())
    except InputError:
        return False


def numeric_columns(frame: pd.DataFrame, *, but: Sequence[str] = ()) -> list[str]:
    """Names of the columns that hold numbers, in order."""
    return [str(name) for name in frame.columns if name not in but and _is_numeric(frame[name])]


def check_rates(column: pd.Series, *, where: str) -> None:
    """Raise InputError where a column known to hold rates leaves their range."""
    low, high = RATES.get(str(column.name).lower(), (-np.inf, np.inf))
    bad = ((column < low) | (column > high)).to_numpy()
    if bad.any():
        entries = [f"{value:g} {place}" for value, place in zip(column[bad], _places(column, bad), strict=True)]
        hint = ". Percentages? Divide them by 100" if column.min() >= 0 and 1 < column.max() <= 100 else ""
        raise InputError(f"{where}, column {column.name}: outside [{low:g}, {high:g}]: {listed(entries)}{hint}")


def unique_keys(column: pd.Series, *, where: str) -> pd.Series:
    """Return a column of names ready for comparison.

    Raises
    ------
    InputError
        If a name is empty or there twice; names the lines.
    """
    keys = column.map(normalised)
    empty = (keys == "").to_numpy()
    if empty.any():
        raise InputError(f"{where}, column {column.name}: empty {listed(_places(column, empty))}")
    twice = keys[keys.duplicated()].unique()
    if len(twice):
        told = [f"{key} ({listed(_places(column, (keys == key).to_numpy()))})" for key in twice[:5]]
        raise InputError(f"{where}, column {column.name}: {len(twice)} images are there twice or more: {listed(told)}")
    return keys


def read_scores(path: str | Path, *, image_column: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read the scores of images.

    Parameters
    ----------
    path
        Table with a header; comma, semicolon or tab between columns.
    image_column
        The column that names the image.
    columns
        Columns that hold scores; all that hold numbers by default.

    Returns
    -------
    DataFrame
        Float64 scores indexed by the normalised entries of the image column; NaN where a score is empty.

    Raises
    ------
    InputError
        For a missing file or column, an entry that is no number, an image named twice, or a rate out of its range.
    """
    where = f"scores {path}"
    table = read_table(path, what="scores")
    need_columns(table, [image_column, *columns], where=where)
    names = list(columns) or numeric_columns(table, but=[image_column])
    if not names:
        raise InputError(f"{where} has no column of numbers beside {image_column!r}")
    if not len(table):
        raise InputError(f"{where} has a header but no rows")
    keys = unique_keys(table[image_column], where=where)
    scores = pd.DataFrame({name: to_numbers(table[name], where=where) for name in names})
    for name in names:
        check_rates(scores[name], where=where)
    return scores.set_axis(pd.Index(keys, name=image_column))


def __getattr__(name: str) -> Any:
    if name == "match_scores":  # its name before `distspc.matching` was a module
        from distspc.matching import match_scores

        return match_scores
    raise AttributeError(name)
