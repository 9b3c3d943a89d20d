"""What a reader of correlations should know of their columns: few images, missing values, ties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from distspc.messages import counted, shorten
from distspc.store.notices import Notice

FEW = 10
"""Images under which an interval and a p say little."""

MANY_TIES = 0.3
"""Share of images that share their value with another, from which ties are said."""


def cautions(
    frame: pd.DataFrame, measures: Sequence[str], others: Sequence[str], relations: pd.DataFrame
) -> list[Notice]:
    """Say which correlations rest on few images, which values are missing, and where images are tied.

    Parameters
    ----------
    frame
        A row per image, with the columns that were correlated.
    measures
        Their measures. Ties of these are not said: two images that are each other's neighbour share their distance.
    others
        Their scores and controls.
    relations
        Their correlations, as `distspc.correlate` returns them.
    """
    return [*_few(relations), *_missing(frame, [*measures, *others]), *_ties(frame, others, relations)]


def _few(relations: pd.DataFrame) -> list[Notice]:
    rows = relations[relations["n"] < FEW]
    if rows.empty:
        return []
    low, high = int(rows["n"].min()), int(rows["n"].max())
    n = f"{low}" if low == high else f"{low} to {high}"
    return [
        Notice(
            f"{counted(len(rows), 'correlation', 'rests', of=len(relations))} on fewer than {FEW} images ({n}): their "
            "CI and p say little.",
            warning=True,
        )
    ]


def _missing(frame: pd.DataFrame, columns: Sequence[str]) -> list[Notice]:
    missing = frame[list(columns)].isna().sum()
    some = [f"{name} ({n})" for name, n in missing[missing > 0].items()]
    if not some:
        return []
    return [
        Notice(
            f"Missing for some of {counted(len(frame), 'image')}, which their correlations leave out: {shorten(some)}."
        )
    ]


def _ties(frame: pd.DataFrame, columns: Sequence[str], relations: pd.DataFrame) -> list[Notice]:
    if "spearman" not in set(relations["method"]):
        return []
    tied = {name: _n_tied(frame[name]) for name in columns if pd.api.types.is_numeric_dtype(frame[name])}
    some = [f"{name} ({n} of {int(frame[name].notna().sum())})" for name, n in tied.items()
            if n >= max(2, MANY_TIES * frame[name].notna().sum())]  # fmt: skip
    if not some:
        return []
    return [
        Notice(
            f"Ties: images share their value with another in {shorten(some)}; in Spearman's correlations they have "
            "their mean rank."
        )
    ]


def _n_tied(column: pd.Series) -> int:
    """Number of images that share their value with another."""
    _, counts = np.unique(column.dropna().to_numpy(dtype=float), return_counts=True)
    return int(counts[counts > 1].sum())
