"""What a correlation controls for: measures, scores and columns of tables, labels as fixed effects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import is_missing
from distspc.kernels.statistics.groups import Groups, groups_of
from distspc.messages import did_you_mean, shorten
from distspc.results.measures import MEASURES, split_label

ALIASES = {"edges": "edge_share"}
"""Other words for columns that may be controlled for."""

_LABELS = re.compile(r"C\((.+)\)")


def find_controls(
    names: Sequence[str], tables: Mapping[str, pd.DataFrame], *, key: str = "control", labels: bool = False
) -> pd.DataFrame:
    """Find the columns that a study controls for, of the same images.

    Parameters
    ----------
    names
        ``measure:layer``, a score, or a column; ``C(column)`` where numbers are labels; a word of `ALIASES`.
    tables
        Tables of the same images by what they are called, in the order in which they are looked at.
    key
        Key of the study file, or option, that has the names.
    labels
        Whether all are labels, numbers too.

    Returns
    -------
    DataFrame
        A column for each name, or what it is an alias of: numbers, or text where it holds labels; missing where
        empty. Text
        whose entries are all numbers counts as numbers, but in a column called category.

    Raises
    ------
    InputError
        For a name that no table has, or a measure without the layer that it needs.
    """
    found = {}
    for name in names:
        own = own_name(name)
        as_labels = labels or own == "category" or _LABELS.fullmatch(name) is not None
        column = _find(own, tables, key)
        called = str(column.name) if own in ALIASES else name
        found[called] = _as_labels(column) if as_labels else _as_numbers(column)
    index = next(iter(tables.values())).index
    return pd.DataFrame(found, index=index)


def own_name(name: str) -> str:
    """The name of the column that a control means.

    >>> own_name("C(block)"), own_name("norm:fc2")
    ('block', 'norm:fc2')
    """
    marked = _LABELS.fullmatch(name)
    return marked.group(1) if marked else name


def _find(name: str, tables: Mapping[str, pd.DataFrame], key: str) -> pd.Series:
    # As the store spells a user's columns; an alias only where nothing bears the name itself.
    spelled = (name, re.sub(r"[^\w.-]", "_", name), f"table_{name}", ALIASES.get(name, name))
    for one in spelled:
        for table in tables.values():
            if one in table.columns:
                return table[one]
    known = [str(column) for table in tables.values() for column in table.columns]
    layers = [column for column in known if ":" in column and split_label(column)[0] == name]
    if len(layers) == 1:
        return next(table[layers[0]] for table in tables.values() if layers[0] in table.columns)
    if layers:
        text = f"`{key}` names {name!r}, measured at {len(layers)} layers: name one, such as {layers[0]}"
        raise InputError(text)
    there = "; ".join(f"{what}: {shorten(table.columns, most=20)}" for what, table in tables.items() if table.shape[1])
    raise InputError(f"`{key}` names {name!r}: no such column; {did_you_mean(name, known)}there are {there}")


def check_controls(names: Iterable[str], columns: Iterable[str], *, key: str) -> None:
    """Look whether names can be controlled for, before anything is measured.

    Parameters
    ----------
    names
        As `find_controls`; a measure may be there once it is measured.
    columns
        Columns of the tables that are there.
    key
        Key of the study file.

    Raises
    ------
    InputError
        For a name that is neither a column nor a measure.
    """
    columns = [str(column) for column in columns]
    known = {*columns, *(re.sub(r"[^\w.-]", "_", column) for column in columns)}
    for name in names:
        own = own_name(name)
        if own not in known and split_label(ALIASES.get(own, own))[0] not in MEASURES:
            raise InputError(
                f"`{key}` names {own!r}: neither a measure (such as norm:fc2) nor a column; "
                f"{did_you_mean(own, [*columns, *MEASURES])}columns are {shorten(columns, most=20) or 'none'}; "
                f"measures are {', '.join(MEASURES)}"
            )


def _as_labels(column: pd.Series) -> pd.Series:
    text = column.astype(str).str.strip()
    return text.mask(is_missing(text) | column.isna()).astype(object)


def _as_numbers(column: pd.Series) -> pd.Series:
    """A column as numbers where its entries are, else as labels."""
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("float64")
    text = _as_labels(column)
    numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    return numbers if numbers.notna().sum() == text.notna().sum() and np.isfinite(numbers.dropna()).all() else text


def is_labels(column: pd.Series) -> bool:
    """Whether a column holds labels, which are fixed effects."""
    return not pd.api.types.is_numeric_dtype(column)


class Design:
    """Controls of a sample as a correlation takes them: numbers, and groups of the images.

    Attributes
    ----------
    numbers
        Columns of numbers, and dummy variables of all labels but those with the most levels; (images, columns).
    groups
        Groups of the images by the labels with the most levels; None without labels.
    """

    def __init__(self, sample: pd.DataFrame, controls: Sequence[str]) -> None:
        labels = sorted((n for n in controls if is_labels(sample[n])), key=lambda n: -sample[n].nunique())
        numbers = [sample[n].to_numpy(dtype=float)[:, None] for n in controls if n not in labels]
        numbers += [pd.get_dummies(sample[n], drop_first=True, dtype=float).to_numpy() for n in labels[1:]]
        self.numbers = np.concatenate([np.empty((len(sample), 0)), *numbers], axis=1)
        self.groups: Groups | None = groups_of(sample[labels[0]].to_numpy(dtype=str)) if labels else None

    @property
    def n_free(self) -> int:
        """Degrees of freedom that the controls take beside the mean."""
        left = self.numbers if self.groups is None else self.groups.centred(self.numbers)
        return self._rank(left) + (0 if self.groups is None else self.groups.n - 1)

    @staticmethod
    def _rank(columns: np.ndarray) -> int:
        if not columns.shape[1]:
            return 0
        columns = columns - columns.mean(axis=0)
        spread = columns.std(axis=0)
        return int(np.linalg.matrix_rank(columns / np.where(spread > 0, spread, 1.0)))

    def columns(self) -> np.ndarray:
        """All controls as columns, a dummy variable for each group but the first; (images, columns)."""
        if self.groups is None:
            return self.numbers
        dummies = (self.groups.code[:, None] == np.arange(1, self.groups.n)).astype(float)
        return np.concatenate([self.numbers, dummies], axis=1)
