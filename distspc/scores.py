"""Scores of images: read a table that somebody made, check it, and find the image that each row means."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from distspc.errors import InputError

log = logging.getLogger(__name__)

RATES = {
    **dict.fromkeys(("hit", "hits", "hit_rate", "hr", "fa", "far", "fas", "fa_rate"), (0.0, 1.0)),
    **dict.fromkeys(("false_alarm", "false_alarms", "false_alarm_rate"), (0.0, 1.0)),
    **dict.fromkeys(("corrected_hit", "corrected_recognition", "cr", "memorability"), (-1.0, 1.0)),
    **dict.fromkeys(("memorability_w_fa_correction", "memorability_wo_fa_correction"), (-1.0, 1.0)),
}
"""Columns known to hold rates, with the range a rate can have."""

_MISSING = {"", "na", "n/a", "nan", "null", "none", "."}
_NUMBER = re.compile(r"0*(\d+)(\.0+)?")


@dataclass(frozen=True)
class Match:
    """Scores beside the images they belong to.

    Attributes
    ----------
    key
        What the image column names: ``"number"``, ``"stem"``, ``"file name"``, ``"path of 2 parts"`` or ``"id"``.
    frame
        One row per image, indexed like the images; one column per score, NaN without a score.
    without_score
        Ids of images that no row names.
    without_image
        Entries of the image column that name no image.
    """

    key: str
    frame: pd.DataFrame
    without_score: tuple[str, ...] = field(default=())
    without_image: tuple[str, ...] = field(default=())


def listed(names: Iterable[object], *, most: int = 5) -> str:
    """Return the first few names and how many more there are."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def normalised(key: object) -> str:
    """Key for comparison: trimmed, with backslashes turned, and whole numbers without zeros in front or ``.0``."""
    text = str(key).strip().replace("\\", "/")
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


def image_keys(images: pd.DataFrame, *, depths: Iterable[int] = ()) -> dict[str, list[str]]:
    """Return what a row of scores may call each image, by kind of name, in order of preference.

    Parameters
    ----------
    images
        Columns image (id), number, file.
    depths
        How many parts paths may have that are written with folders.
    """
    paths = [PurePosixPath(str(file).replace("\\", "/")) for file in images["file"]]
    return {
        "stem": [normalised(path.stem) for path in paths],
        "file name": [path.name for path in paths],
        "number": [str(number) for number in images["number"]],
        **{f"path of {n} parts": ["/".join(path.parts[-n:]) for path in paths] for n in sorted(depths)},
        "id": [str(image) for image in images["image"]],
    }


def _positions(keys: Sequence[str], wanted: pd.Index) -> np.ndarray:
    """Row of `wanted` for each image, -1 without; names that two images share are not used."""
    once = pd.Series(keys)
    found = wanted.get_indexer(pd.Index(keys))
    found[once.duplicated(keep=False).to_numpy()] = -1
    return np.asarray(found)


def match_scores(images: pd.DataFrame, scores: pd.DataFrame, *, where: str = "the scores") -> Match:
    """Put scores beside images.

    The image column may hold file stems, file names (also behind folders), ids, or numbers (of the image among the
    targets, from 1). Whatever matches most images is taken, file stems first where several match alike:
    a column of 5, 6, 7 beside the files 5.jpg, 6.jpg, 7.jpg means these files, not the fifth image.

    Parameters
    ----------
    images
        Columns image (id), number, file; a row per image.
    scores
        As `read_scores` returns them.
    where
        Name of the scores in messages.

    Raises
    ------
    InputError
        If no image has a score; shows names of both sides.
    """
    depths = {str(entry).count("/") + 1 for entry in scores.index} - {1}
    kinds = image_keys(images, depths=sorted(depths)[:8])
    found = {kind: _positions(keys, scores.index) for kind, keys in kinds.items()}
    kind = max(found, key=lambda name: int((found[name] >= 0).sum()))
    rows = found[kind]
    if not (rows >= 0).any():
        raise InputError(
            f"{where} and the images have nothing in common: column {scores.index.name!r} holds "
            f"{listed(scores.index)}; the images are number {listed(kinds['number'], most=3)} or file "
            f"{listed(kinds['file name'])}"
        )
    frame = scores.iloc[rows.clip(0)].set_axis(images.index)
    frame.loc[rows < 0] = np.nan
    lonely = np.setdiff1d(np.arange(len(scores)), rows)
    match = Match(
        kind,
        frame,
        without_score=tuple(images["image"][rows < 0].astype(str)),
        without_image=tuple(scores.index[lonely].astype(str)),
    )
    for name, lost in (("images have no score", match.without_score), ("scores have no image", match.without_image)):
        if lost:
            log.warning("%s: %d %s: %s", where, len(lost), name, listed(lost))
    return match


def common_rows(
    tables: Mapping[str, pd.DataFrame], columns: Sequence[str]
) -> tuple[list[pd.DataFrame], dict[str, tuple[str, ...]]]:
    """Rows of two tables that name the same image, in the order of the first, and the names only one of them has.

    Parameters
    ----------
    tables
        Two tables by their name in messages.
    columns
        For each the column that names the image.

    Raises
    ------
    InputError
        If nothing is in common.
    """
    keys = [
        unique_keys(table[column], where=name) for (name, table), column in zip(tables.items(), columns, strict=True)
    ]
    indexed = [table.set_axis(pd.Index(key)) for table, key in zip(tables.values(), keys, strict=True)]
    shared = indexed[0].index[indexed[0].index.isin(indexed[1].index)]
    if shared.empty:
        told = [f"{name} has {listed(key)}" for name, key in zip(tables, keys, strict=True)]
        raise InputError(f"no image is in both tables: {'; '.join(told)}")
    lonely = {name: tuple(key[~key.isin(shared)]) for name, key in zip(tables, keys, strict=True)}
    for name, lost in lonely.items():
        if lost:
            log.warning("%s: %d images are not in the other table: %s", name, len(lost), listed(lost))
    return [table.loc[shared] for table in indexed], lonely
