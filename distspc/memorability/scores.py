"""Scores of images: which columns of a table hold them, what their entries mean, and whether they can be right."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import (
    describe_places,
    missing_notices,
    need_columns,
    pick_columns,
    read_table,
    to_numbers,
    unique_keys,
)
from distspc.messages import shorten

RATES = {
    **dict.fromkeys(("hit", "hits", "hit_rate", "hr", "fa", "far", "fas", "fa_rate"), (0.0, 1.0)),
    **dict.fromkeys(("false_alarm", "false_alarms", "false_alarm_rate"), (0.0, 1.0)),
    **dict.fromkeys(("corrected_hit", "corrected_recognition", "cr", "memorability"), (-1.0, 1.0)),
    **dict.fromkeys(("memorability_w_fa_correction", "memorability_wo_fa_correction"), (-1.0, 1.0)),
}
"""Columns known to hold rates, with the range a rate can have."""


def check_rates(column: pd.Series, *, where: str) -> None:
    """Raise InputError where a column of rates leaves their range.

    A column is one of rates if it is called so (`RATES`) and most of its values are in their range; whole numbers
    beyond it are counts, and percentages and standardised values are numbers like others.
    """
    low, high = RATES.get(str(column.name).lower(), (-np.inf, np.inf))
    known = column.dropna()
    bad = ((column < low) | (column > high)).to_numpy()
    if (known % 1 == 0).all() or 2 * bad.sum() > len(known):
        return
    if bad.any():
        entries = [f"{value:g} {place}" for value, place in zip(column[bad], describe_places(column, bad), strict=True)]
        raise InputError(f"{where}, column {column.name}: outside [{low:g}, {high:g}]: {shorten(entries)}")


def read_scores(
    path: str | Path,
    *,
    image_column: str,
    columns: Sequence[str] = (),
    missing: Collection[str] = (),
    what: str = "scores",
) -> pd.DataFrame:
    """Read the scores of images.

    Parameters
    ----------
    path
        Table with a header; comma, semicolon or tab between columns.
    image_column
        The column that names the image.
    columns
        Columns that hold scores; all that hold numbers by default.
    missing
        Entries that mean a missing value, beside empty ones, NA and NaN.
    what
        What the table holds, in messages.

    Returns
    -------
    DataFrame
        Float64 scores indexed by the normalised entries of the image column; NaN where a score is missing.
        ``attrs["notices"]`` says what was left out or converted.

    Raises
    ------
    InputError
        For a missing file or column, an entry that is no number, an image named twice, or a rate out of its range.
    """
    where = f"{what} {path}"
    table = read_table(path, what=what)
    need_columns(table, [image_column, *columns], where=where)
    names, notices = list(columns), [*table.attrs["notices"]]
    if not names:
        names, left_out = pick_columns(table, but=[image_column], where=where, missing=missing)
        notices += left_out
    if not names:
        raise InputError(f"{where} has no column of numbers beside {image_column!r}")
    if not len(table):
        raise InputError(f"{where} has a header but no rows")
    keys = unique_keys(table[image_column], where=where)
    scores = pd.DataFrame({name: to_numbers(table[name], where=where, missing=missing) for name in names})
    for name in names:
        check_rates(scores[name], where=where)
    scores = scores.set_axis(pd.Index(keys, name=image_column))
    scores.attrs["notices"] = [*notices, *missing_notices(table, names, where=where, missing=missing)]
    return scores


def __getattr__(name: str) -> Any:
    if name == "match_scores":  # its name before `distspc.memorability.matching` was a module
        from distspc.memorability.matching import match_scores

        return match_scores
    raise AttributeError(name)
