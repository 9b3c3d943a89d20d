"""Factors into levels, levels into cells: which images may go where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.messages import counted, did_you_mean, shorten
from distspc.selection.options import Design

LEVEL = "level:"
"""Before a factor's name: the column of its levels."""
_NAMES = {2: ("small", "large"), 3: ("small", "medium", "large")}


@dataclass(frozen=True)
class Candidates:
    """Images that may be selected.

    Attributes
    ----------
    table
        A row per image, by name: factors, covariates and categories, none missing.
    by, covariates, categories
        Columns of `table`: factors, numbers to match, labels to match.
    cells
        Names of the cells; the levels of a cell are joined by ``-``.
    levels
        Levels of each cell, int (n_cells, n_factors).
    cell
        Cell of each image, int (n_images,).
    must
        Images that have to be in the set, bool (n_images,).
    cliques
        Positions of images of which at most one may be in the set.
    notices
        A sentence for each reason why images were left out.
    """

    table: pd.DataFrame
    by: tuple[str, ...]
    covariates: tuple[str, ...]
    categories: tuple[str, ...]
    cells: tuple[str, ...]
    levels: np.ndarray
    cell: np.ndarray
    must: np.ndarray
    cliques: tuple[np.ndarray, ...] = ()
    notices: tuple[str, ...] = field(default=())

    @property
    def counts(self) -> np.ndarray:
        """Candidates of each cell."""
        return np.bincount(self.cell, minlength=len(self.cells))

    def alike(self, factor: int) -> list[np.ndarray]:
        """Cells that share a level of a factor, level by level."""
        return [np.flatnonzero(self.levels[:, factor] == level) for level in np.unique(self.levels[:, factor])]


def find_candidates(
    table: pd.DataFrame, design: Design, match: Sequence[str], exclude: Sequence[str], must: Sequence[str]
) -> Candidates:
    """Sort the images of a table into the cells of a design.

    Parameters
    ----------
    table
        A row per image, indexed by name.
    design
        Factors and levels.
    match
        Columns in which the cells are to be alike: numbers, or labels.
    exclude, must
        Names of images that must not, and that have to be in the set.

    Raises
    ------
    InputError
        For columns or images that are not there, and columns that tell no images apart.
    """
    _check_columns(table, design.by, match)
    numeric = [name for name in match if _is_numeric(table[name])]
    labels = [name for name in match if name not in numeric]
    _check_lists(table, exclude, must)
    rows, notices = _complete_rows(table.drop(index=list(exclude)), [*design.by, *match])
    _check_varied(rows, design.by, numeric)
    level = np.stack([level_of(rows[name], design) for name in design.by], axis=1)
    inside = (level >= 0).all(axis=1)
    if not inside.all():
        notices.append(f"{counted(int((~inside).sum()), 'image', 'lies')} between the levels: left out")
    at = np.flatnonzero(inside)
    rows, level = rows.iloc[at], level[at]
    _check_must(rows, must)
    cells = np.array(list(product(range(design.levels), repeat=len(design.by))))
    cell = np.ravel_multi_index(tuple(level.T), (design.levels,) * len(design.by))
    names = tuple("-".join(level_names(design.levels)[i] for i in one) for one in cells)
    chosen = rows.index.isin(list(must))
    by, covariates, categories = design.by, tuple(numeric), tuple(labels)
    return Candidates(rows, by, covariates, categories, names, cells, cell, chosen, notices=tuple(notices))


def level_names(n: int) -> tuple[str, ...]:
    """Names of levels from the smallest value to the largest.

    >>> level_names(2), level_names(4)
    (('small', 'large'), ('level1', 'level2', 'level3', 'level4'))
    """
    return _NAMES.get(n, tuple(f"level{i + 1}" for i in range(n)))


def level_of(values: pd.Series, design: Design) -> np.ndarray:
    """Level of each value, from 0; -1 between two levels."""
    cuts = _cut_points(values, design)
    level = np.searchsorted(cuts, values.to_numpy(float), side="left")
    return np.array([0, -1, 1])[level] if len(cuts) == design.levels else level


def _cut_points(values: pd.Series, design: Design) -> np.ndarray:
    name, n = str(values.name), design.levels
    if name in design.cuts:
        cuts = np.array(design.cuts[name], float)
        allowed = (1, 2) if n == 2 else (n - 1,)
        if len(cuts) not in allowed or (np.diff(cuts) <= 0).any():
            raise InputError(
                f"cut points of {name}: expected {' or '.join(map(str, allowed))} in rising order for {n} levels, "
                f"got {shorten(cuts)}"
            )
        return cuts
    parts = 3 if design.split == "outer-terciles" else n
    return np.quantile(values.to_numpy(float), np.arange(1, parts) / parts)


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _check_columns(table: pd.DataFrame, by: Sequence[str], match: Sequence[str]) -> None:
    names = [str(name) for name in table.columns]
    for name in (*by, *match):
        if name not in names:
            numbers = [column for column in names if _is_numeric(table[column])]
            raise InputError(
                f"there is no measure {name!r}; {did_you_mean(name, names)}there are {shorten(numbers, most=20)}"
            )
    text = [name for name in by if not _is_numeric(table[name])]
    if text:
        raise InputError(f"factor {shorten(text)} is no column of numbers: a factor is split by its values")
    both = [name for name in match if name in by]
    if both:
        raise InputError(f"{shorten(both)} is both a factor and to be matched; leave one of the two out")


def _check_lists(table: pd.DataFrame, exclude: Sequence[str], must: Sequence[str]) -> None:
    names = [str(name) for name in table.index]
    for option, images in (("--exclude", exclude), ("--must", must)):
        unknown = [name for name in images if name not in table.index]
        if unknown:
            raise InputError(
                f"{option}: no image is called {shorten(unknown)}; {did_you_mean(str(unknown[0]), names)}"
                f"images are called as {shorten(names, most=3)}"
            )
    both = sorted(set(exclude) & set(must))
    if both:
        raise InputError(f"images both in --exclude and --must: {shorten(both)}; take them out of one of the two")


def _complete_rows(table: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Rows without a missing value, and a sentence for each column that had some."""
    lost = {}
    for name in names:
        column = table[name]
        finite = np.isfinite(column.to_numpy(float)) if _is_numeric(column) else (column.notna() & (column != ""))
        lost[name] = ~np.asarray(finite, bool)
    notices = [
        f"{counted(int(gone.sum()), 'image', 'has')} no {name}: left out" for name, gone in lost.items() if gone.any()
    ]
    whole = ~np.any(list(lost.values()), axis=0)
    if not whole.any():
        raise InputError(f"no image has all of {shorten(names, most=10)}: {shorten(notices) or 'there are no images'}")
    return table.iloc[np.flatnonzero(whole)], notices


def _check_varied(rows: pd.DataFrame, by: Sequence[str], covariates: Sequence[str]) -> None:
    for name in (*by, *covariates):
        if np.ptp(rows[name].to_numpy(float)) == 0:
            what = "be a factor" if name in by else "be matched"
            option = "--by" if name in by else "--match"
            raise InputError(
                f"{name} is {rows[name].iloc[0]:g} for all {counted(len(rows), 'image')} and cannot {what}: "
                f"leave {option} {name} out"
            )


def _check_must(rows: pd.DataFrame, must: Sequence[str]) -> None:
    lost = [name for name in must if name not in rows.index]
    if lost:
        raise InputError(
            f"--must: {shorten(lost)} cannot be in the set: a factor or covariate is missing, or a factor lies between "
            "the levels; take it out of the list or change the levels"
        )
