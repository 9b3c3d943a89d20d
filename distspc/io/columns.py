"""Columns of a delimited table: which are numbers, what their entries mean, and which name the images."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.io.csv_tables import is_index, read_csv_table
from distspc.messages import counted, did_you_mean, shorten

_MISSING = {"", "na", "n/a", "nan", "null", "none", "."}
_NUMBER = re.compile(r"0*(\d+)(\.0+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_MEANT_AS_NUMBER = re.compile(r"[+-]?(\d*[.,]?\d+|\d{1,3}(,\d{3})+(\.\d+)?)(e[+-]?\d+)?\s*%?", re.IGNORECASE)


def normalised(key: object) -> str:
    """Key for comparison: trimmed, in NFC, paths with plain slashes, numbers without zeros in front or ``.0``."""
    text = unicodedata.normalize("NFC", str(key).strip()).replace("\\", "/")
    text = posixpath.normpath(text) if "/" in text else text
    number = _NUMBER.fullmatch(text)
    return number.group(1) if number else text


def read_table(path: str | Path, *, what: str) -> pd.DataFrame:
    """Read a delimited table (comma, semicolon or tab) as text, indexed by the line of the file.

    Where semicolons or tabs separate the columns, columns of numbers with decimal commas get decimal points.

    Returns
    -------
    DataFrame
        Text; ``attrs["notices"]`` has a sentence about what was converted.

    Raises
    ------
    InputError
        As `distspc.io.csv_tables.read_csv_table`; or if a comma may separate decimals or thousands.
    """
    table = read_csv_table(path, what=what)
    index = pd.Index(table.lines, name="line", dtype="int64")
    frame = pd.DataFrame(table.rows, columns=pd.Index(table.names), index=index, dtype="str")
    with_commas = [] if table.delimiter == "," else [name for name in table.names if _has_decimal_commas(frame[name])]
    for name in with_commas:
        _refuse_thousands(frame[name], table.delimiter, f"{what} {path}")
        frame[name] = [e.replace(",", ".") if _DECIMAL_COMMA.fullmatch(e) else e for e in frame[name]]
    sentence = f"{what} {path}: decimal commas are read as decimal points in column {shorten(with_commas)}"
    frame.attrs["notices"] = [sentence] if with_commas else []
    return frame


def _has_decimal_commas(column: pd.Series) -> bool:
    """Whether most of the entries are numbers, some with a comma and none with a point."""
    entries = [entry for entry in column if entry.lower() not in _MISSING]
    commas = [entry for entry in entries if _DECIMAL_COMMA.fullmatch(entry)]
    whole = [entry for entry in entries if re.fullmatch(r"[+-]?\d+", entry)]
    points = any(re.fullmatch(r"[+-]?\d*\.\d+", entry) for entry in entries)
    return bool(commas) and not points and 2 * (len(commas) + len(whole)) > len(entries)


def _refuse_thousands(column: pd.Series, delimiter: str, where: str) -> None:
    """Semicolons separate columns where commas are decimal; with tabs 1,234 may be more than a thousand."""
    commas = [entry for entry in column if "," in entry]
    if delimiter != ";" and all(_THOUSANDS.fullmatch(entry) for entry in commas):
        raise InputError(
            f"{where}, column {column.name}: {commas[0]!r} may be {commas[0].replace(',', '')} or "
            f"{commas[0].replace(',', '.')}: write decimal points, and no commas between thousands"
        )


def describe_places(column: pd.Series, flags: np.ndarray) -> list[str]:
    """Where entries stand: the line of the file, or the name of the image."""
    kind = "in line" if column.index.name == "line" else "for"
    return [f"{kind} {label}" for label in column.index[flags]]


def need_columns(frame: pd.DataFrame, names: Sequence[str], *, where: str) -> None:
    """Raise InputError naming the columns that are not there and those that are."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        near = did_you_mean(missing[0], frame.columns)
        raise InputError(f"{where} has no column {shorten(missing)}; {near}it has {shorten(frame.columns, most=40)}")


def to_numbers(column: pd.Series, *, where: str, missing: Collection[str] = ()) -> pd.Series:
    """Numbers of a column of text, NaN for missing entries: empty ones, NA, NaN and their like, and `missing`.

    Parameters
    ----------
    column
        Text, indexed by line or image.
    where
        Name of the table in messages.
    missing
        Further entries that mean a missing value; one that is a number also counts in other forms (-999.0 as -999).

    Raises
    ------
    InputError
        If an entry is not a finite number; names the lines.
    """
    text, numbers, empty = _parsed(column, missing)
    bad = ((numbers.isna() & ~empty) | np.isinf(numbers)).to_numpy()
    if bad.any():
        entries = [f"{entry!r} {place}" for entry, place in zip(text[bad], describe_places(column, bad), strict=True)]
        raise InputError(
            f"{where}, column {column.name}: not a number: {shorten(entries)}. Leave unknown scores empty, or name "
            f"the entry that means a missing value: --missing {text[bad].iloc[0]!r} (study file: `missing:` of "
            f"`scores:`){_number_hint(text[bad])}"
        )
    return numbers


def _number_hint(entries: pd.Series) -> str:
    if any(_DECIMAL_COMMA.fullmatch(entry) for entry in entries):
        return ". Decimal commas are read where semicolons or tabs separate the columns"
    return ". Percentages are written without the sign" if any(entry.endswith("%") for entry in entries) else ""


def _parsed(column: pd.Series, missing: Collection[str]) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Entries as text, as numbers (NaN where they are none), and which of them are missing."""
    text = column.astype(str).str.strip()
    numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    markers = pd.to_numeric(pd.Series(list(missing), dtype="str"), errors="coerce").dropna()
    empty = text.str.lower().isin(_MISSING) | text.isin([str(marker).strip() for marker in missing])
    empty |= numbers.isin(markers)
    return text, numbers.mask(empty), empty


def is_missing(column: pd.Series, missing: Collection[str] = ()) -> pd.Series:
    """Which entries of a column of text are missing: empty, NA, NaN and their like, and `missing`."""
    return _parsed(column, missing)[2]


def missing_notices(table: pd.DataFrame, names: Iterable[str], *, where: str, missing: Collection[str]) -> list[str]:
    """Say how many entries of some columns the markers of missing values took."""
    found = []
    for name in names:
        _, _, empty = _parsed(table[name], missing)
        n = int(empty.sum() - _parsed(table[name], ())[2].sum())
        if n:
            found.append(f"{where}: {counted(n, f'entry of column {name}', 'is')} read as missing ({shorten(missing)})")
    return found


def pick_columns(
    table: pd.DataFrame, *, but: Sequence[str] = (), where: str, missing: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Choose the columns that hold numbers, where the user named none.

    Parameters
    ----------
    table
        Text, as `read_table` gives it.
    but
        Columns that are something else, such as the one that names the image.
    where
        Name of the table in messages.
    missing
        As in `to_numbers`.

    Returns
    -------
    names : list of str
        Columns of numbers, in order.
    notices : list of str
        A sentence for each reason why others are left out: row numbers, text, nothing in them.

    Raises
    ------
    InputError
        If a column is numbers but for a few entries; names these.
    """
    kinds = _kinds(table, but, missing)
    for name in kinds["numbers"]:
        _require_numbers(table[name], where, missing)
    left = {kind: names for kind, names in kinds.items() if kind != "numbers" and names}
    return kinds["numbers"], [f"{where}: left out, {kind}: column {_shown(names)}" for kind, names in left.items()]


def numeric_columns(frame: pd.DataFrame, *, but: Sequence[str] = ()) -> list[str]:
    """Names of the columns that are meant as numbers, in order, but for row numbers."""
    return _kinds(frame, but, ())["numbers"]


def _kinds(table: pd.DataFrame, but: Sequence[str], missing: Collection[str]) -> dict[str, list[str]]:
    """Columns by what they hold."""
    found: dict[str, list[str]] = {"numbers": [], "row numbers": [], "text": [], "empty": []}
    for i, name in enumerate(str(column) for column in table.columns):
        if name not in but:
            index = is_index(name, list(table[name]), first=i == 0)
            found["row numbers" if index else _kind(table[name], missing)].append(name)
    return found


def _require_numbers(column: pd.Series, where: str, missing: Collection[str]) -> None:
    try:
        to_numbers(column, where=where, missing=missing)
    except InputError as error:
        raise InputError(f"{error}. If this column is not meant, name the columns that are") from None


def _shown(names: Sequence[str]) -> str:
    return shorten([name or "without a name" for name in names], most=10)


def _kind(column: pd.Series, missing: Collection[str]) -> str:
    """Numbers if most of the entries, or most of the different ones, are meant so; else text, or empty."""
    text, numbers, empty = _parsed(column, missing)
    if empty.all():
        return "empty"
    entries, there = text[~empty], numbers[~empty]
    meant = there.notna() | entries.map(lambda entry: _MEANT_AS_NUMBER.fullmatch(entry) is not None)
    return "numbers" if 2 * meant.sum() > len(entries) or 2 * entries[meant].nunique() > entries.nunique() else "text"


def free_names(names: Sequence[str], taken: Collection[str]) -> dict[str, str]:
    """Names for columns of scores beside other columns: their own, or ``score:`` before it where that is taken.

    Examples
    --------
    >>> free_names(["hit", "norm"], {"norm", "file"})
    {'hit': 'hit', 'norm': 'score:norm'}
    """
    found: dict[str, str] = {}
    for name in names:
        free = name
        while free in taken or free in found.values() or (free != name and free in names):
            free = f"score:{free}"
        found[name] = free
    return found


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
        raise InputError(f"{where}, column {column.name}: empty {shorten(describe_places(column, empty))}")
    twice = keys[keys.duplicated()].unique()
    if len(twice):
        entries = [f"{key} ({shorten(describe_places(column, (keys == key).to_numpy()))})" for key in twice[:5]]
        raise InputError(
            f"{where}, column {column.name}: {counted(len(twice), 'image', 'occurs')} more than once: "
            f"{shorten(entries)}"
        )
    return keys
