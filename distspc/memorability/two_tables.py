"""Relate the measures of one table to the scores of another; no study or store is needed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import free_names, missing_notices, need_columns, pick_columns, read_table, to_numbers
from distspc.io.csv_tables import is_index
from distspc.measures.registry import IMAGE_COLUMNS
from distspc.memorability.cautions import cautions
from distspc.memorability.controls import ALIASES, find_controls, own_name
from distspc.memorability.correlation import as_tuple, constant_columns, correlate
from distspc.memorability.matching import UnmatchedError, common_rows
from distspc.memorability.options import Interval, Method, Names, RelateOptions, Test
from distspc.memorability.scores import check_rates
from distspc.memorability.within import correlations_within, mixed_models
from distspc.messages import shorten
from distspc.results.measures import Pair, column_label, flat_table, pairs_of, with_labels

log = logging.getLogger(__name__)

_FEWEST = 4  # values of a column that nobody named, to be taken
_OF_LAYERS = ("reconstruction_error_icc", "reconstruction_error_reliability")
"""Columns of an exported table with one number for all images of a layer."""


def relate_tables(
    measures_file: str | Path,
    scores_file: str | Path,
    *,
    by: str,
    scores: Names | None = None,
    measures: Names | None = None,
    given: Names = (),
    method: Method = "pearson",
    n_bootstrap: int = RelateOptions.n_bootstrap,
    random_state: int | None = RelateOptions.random_state,
    interval: Interval = RelateOptions.interval,
    missing: Names = (),
    control: Names = (),
    within: str | None = None,
    test: Test = RelateOptions.test,
    n_permutations: int = RelateOptions.n_permutations,
) -> pd.DataFrame:
    """Relate the measures of one table to the scores of another; no study or store is needed.

    Parameters
    ----------
    measures_file, scores_file
        Tables with a header; comma, semicolon or tab between columns. A table of measures with a column ``layer``
        and several rows per image (such as an exported ``results.csv``) is taken layer by layer: its measures are
        then called ``measure:layer``.
    by
        Column that names the image in both; ``"A=B"`` if it is A among the measures and B among the scores.
    scores, measures
        Columns; by default all that hold numbers, but for row numbers and columns that are the same for all images.
    given, method, n_bootstrap, random_state, interval, test, n_permutations
        As in `correlate`.
    control
        Further controls, beside `given` and with these: columns of either table, labels as fixed effects.
    within
        Column of either table with labels, within each of which measures and scores are correlated too.
    missing
        Entries that mean a missing value in both tables, beside empty ones, NA and NaN.

    Returns
    -------
    DataFrame
        As `correlate`; ``attrs`` has the images that only one of the tables names, and under ``"notices"`` a sentence
        about each thing that was left out or converted; with `within` also the tables ``"within"``, ``"within_mean"``
        and ``"mixed"`` (see `distspc.memorability.within`).

    Raises
    ------
    InputError
        For files, columns or entries that cannot be used, and tables that have no image in common.
    """
    left, _, right = by.partition("=")
    right, given, missing = right or left, as_tuple(given), as_tuple(missing)
    held = [own_name(name) for name in (*as_tuple(control), *([within] if within else []))]
    held += [ALIASES[name] for name in held if name in ALIASES]
    x = _read(measures_file, "measures", left, as_tuple(measures or ()), given, missing, held)
    y = _read(scores_file, "scores", right, as_tuple(scores or ()), (), missing, held)
    try:
        (x.table, y.table), unmatched = common_rows({x.where: x.table, y.where: y.table}, [left, right])
    except UnmatchedError:
        # A study's own results name an image by id and by file: scores may hold paths.
        if left != "image" or "file" not in read_table(measures_file, what="measures").columns:
            raise
        x = _read(measures_file, "measures", "file", as_tuple(measures or ()), given, missing, held)
        (x.table, y.table), unmatched = common_rows({x.where: x.table, y.where: y.table}, ["file", right])
    notices = [*x.notices, *y.notices]
    known = y.table if x.pairs else y.table[y.names]  # all scores of a study are in its export
    same = [name for name in x.names if not x.named and _is_score(x, name, known)]
    _leave_out(x, same, notices, "they are the scores")
    frame, others = _numbers(x, missing, notices), _numbers(y, missing, notices)
    for name in y.names:
        check_rates(others[name], where=y.where)
    for side, numbers in ((x, frame), (y, others)):
        _leave_out(side, _of_no_use(side, numbers), notices, "the same for all images, or without values")
    columns = free_names(y.names, [*frame.columns])
    frame = frame.join(others[y.names].rename(columns=columns))
    tables = {"measures and scores": frame, x.where: x.table, y.where: y.table}
    held_columns = find_controls(as_tuple(control), tables, key="--control")
    frame = frame.join(held_columns[[name for name in held_columns.columns if name not in frame.columns]])
    controls = list(dict.fromkeys([*given, *held_columns.columns]))
    result = correlate(
        frame, x.names, list(columns.values()), controls, method, n_bootstrap, random_state,
        interval=interval, test=test, n_permutations=n_permutations,
    )  # fmt: skip
    notices += [notice.text for notice in cautions(frame, x.names, [*columns.values(), *controls], result)]
    own = {column: name for name, column in columns.items()}
    found = {} if within is None else _within(frame, x.names, list(own), controls, tables, within, notices)
    result, *others_found = (_by_score(table, own) for table in (result, *found.values()))
    for sentence in notices:
        log.info(sentence)
    result.attrs = {**{f"only in {name}": list(lost) for name, lost in unmatched.items()}, "notices": notices}
    result.attrs |= dict(zip(found, others_found, strict=True))
    return result


def _by_score(table: pd.DataFrame, own: Mapping[str, str]) -> pd.DataFrame:
    """A table with the scores' own names, in place of those of their columns."""
    return table.assign(score=table["score"].map(own)) if len(table) else table


def _within(
    frame: pd.DataFrame,
    measures: Sequence[str],
    scores: Sequence[str],
    controls: Sequence[str],
    tables: Mapping[str, pd.DataFrame],
    within: str,
    notices: list[str],
) -> dict[str, pd.DataFrame]:
    """Correlations within each label of a column, their mean, and mixed models; sentences about these are added."""
    labels = find_controls([within], tables, key="--within", labels=True).iloc[:, 0]
    each, means, said = correlations_within(frame, measures, scores, labels)
    mixed, more = mixed_models(frame, measures, scores, labels, [name for name in controls if name != labels.name])
    notices += [notice.text for notice in (*said, *more)]
    return {"within": each, "within_mean": means, "mixed": mixed}


@dataclass
class _Side:
    """One of the two tables: as text, with the columns that are taken of it."""

    where: str
    table: pd.DataFrame
    names: list[str]
    named: bool
    """Whether the user named the columns."""
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    """Measure and layer of its columns, if there are several rows per image."""
    given: tuple[str, ...] = ()
    notices: list[str] = field(default_factory=list)


def _read(
    file: str | Path,
    what: str,
    by: str,
    wanted: Sequence[str],
    given: Sequence[str],
    missing: Collection[str],
    held: Sequence[str],
) -> _Side:
    """Read a table and choose its columns, none of those held constant; one of several layers gets a row per image."""
    table, where = read_table(file, what=what), f"{what} {file}"
    notices: list[str] = [*table.attrs["notices"]]
    need_columns(table, [by], where=where)
    layered = what == "measures" and "layer" in table.columns and bool(table[by].duplicated().any())
    pairs: dict[str, Pair] = {}
    if layered:
        wide = _pivot(_without_index(with_labels(table), [by, *wanted], where, notices), by, where)
        pairs, table = {column_label(pair): pair for pair in pairs_of(wide)}, flat_table(wide).reset_index()
    names = [name for measure in wanted for name in _of_layers(measure, pairs)]
    need_columns(table, [*names, *given], where=where)
    if not wanted:
        of_layers = [name for name, (measure, _) in pairs.items() if measure in _OF_LAYERS]
        names, left_out = pick_columns(table, but=[by, *given, *held, *of_layers], where=where, missing=missing)
        notices += left_out
    if not names:
        raise InputError(f"{where} has no column of numbers beside {shorten([by, *given])}")
    return _Side(where, table, names, bool(wanted), pairs, tuple(given), notices)


def _without_index(table: pd.DataFrame, keep: Sequence[str], where: str, notices: list[str]) -> pd.DataFrame:
    first = str(table.columns[0])
    index = [n for n in map(str, table.columns) if n not in keep and is_index(n, list(table[n]), first=n == first)]
    if index:
        notices.append(f"{where}: left out, row numbers: column {shorten([n or 'without a name' for n in index])}")
    return table.drop(columns=index)


def _of_layers(measure: str, pairs: Mapping[str, Pair]) -> list[str]:
    """The columns of a measure at all layers; the column of this name where there are none."""
    return [name for name, pair in pairs.items() if pair[0] == measure] or [measure]


def _pivot(table: pd.DataFrame, by: str, where: str) -> pd.DataFrame:
    """A row per image, and a column (measure, layer) for each."""
    if table.duplicated([by, "layer"]).any():
        rows = table.index[table.duplicated([by, "layer"])]
        raise InputError(f"{where}: duplicate image and layer in line {shorten(rows)}; keep one row for each")
    of_images = [name for name in IMAGE_COLUMNS if name in table.columns]  # the same in the rows of all layers
    first = table.drop_duplicates(by).set_index(by)[of_images]
    wide = table.drop(columns=of_images).pivot(index=by, columns="layer")  # noqa: PD010 - text: nothing to aggregate
    for name in of_images:
        wide[name, ""] = first[name]
    return wide.loc[list(dict.fromkeys(table[by])), :].fillna("")


def _is_score(side: _Side, name: str, scores: pd.DataFrame) -> bool:
    """Whether a column of the measures is one of the table of scores, as in an export of a study: the same numbers."""
    own = side.pairs.get(name, (name,))[0].removeprefix("score:")
    if own not in scores.columns:
        return False
    first, second = (pd.to_numeric(one, errors="coerce").to_numpy() for one in (side.table[name], scores[own]))
    known = np.isfinite(first)
    return bool(known.any() and np.allclose(first[known], second[known], rtol=1e-9, atol=0, equal_nan=False))


def _numbers(side: _Side, missing: Collection[str], notices: list[str]) -> pd.DataFrame:
    names = list(dict.fromkeys([*side.names, *side.given]))
    notices += missing_notices(side.table, names, where=side.where, missing=missing)
    return pd.DataFrame({name: to_numbers(side.table[name], where=side.where, missing=missing) for name in names})


def _of_no_use(side: _Side, numbers: pd.DataFrame) -> list[str]:
    """Columns that nobody named and that have no correlation, unless there are no others."""
    few = [name for name in side.names if numbers[name].notna().sum() < _FEWEST]
    found = [] if side.named else list(dict.fromkeys([*constant_columns(numbers, side.names), *few]))
    return found if len(found) < len(side.names) else []


def _leave_out(side: _Side, names: Sequence[str], notices: list[str], why: str) -> None:
    if names:
        side.names = [name for name in side.names if name not in names]
        notices.append(f"{side.where}: left out, {why}: column {shorten(names, most=10)}")
    if not side.names:
        raise InputError(f"{side.where} has no measure: its columns of numbers are the scores themselves")
