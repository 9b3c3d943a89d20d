"""Memorability that others predicted, such as that of ResMem or ViTMem: columns of a table that a user brings."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import missing_notices, read_table, to_numbers
from distspc.memorability.matching import find_match, skipped_targets, unmatched_notices
from distspc.memorability.options import PredictionSource, ScoreSource
from distspc.memorability.scores import read_scores
from distspc.messages import did_you_mean, shorten
from distspc.results.tidy import target_table
from distspc.store.notices import Notice
from distspc.store.store import Store


def read_predictions(
    store: Store, source: PredictionSource, scores: ScoreSource | None = None
) -> tuple[pd.DataFrame, list[Notice]]:
    """Read what others predicted of the targets.

    Parameters
    ----------
    store
        The store, with its image table.
    source
        The columns, and their table. Without one, each is a column of the image table, or else of the scores'.
    scores
        The table of scores.

    Returns
    -------
    predictions : DataFrame
        A row per target, a column each; NaN where one is missing.
    notices : list of Notice
        What was left out or converted.

    Raises
    ------
    InputError
        For a column that is not there or holds no numbers, and as `find_match`.
    """
    if source.file is not None:
        return _matched(store, source)
    targets, notices, found = target_table(store), list[Notice](), {}
    for name in source.columns:
        if store.images.has(name):
            where = f"the image table's column {name}"
            column = pd.DataFrame({name: _texts(store, name)}, index=targets["file"])
            found[name] = to_numbers(column[name], where=where, missing=source.missing).to_numpy()
            notices += map(Notice, missing_notices(column, [name], where=where, missing=source.missing))
        else:
            part, more = _matched(store, _of_scores(name, source, scores, table_columns(store)))
            found[name], notices = part[name].to_numpy(), [*notices, *more]
    return pd.DataFrame(found, index=pd.Index(targets["image"], name="image")), notices


def _texts(store: Store, name: str) -> list[str]:
    return [str(text) for text in store.images.read(name)[store.images.read("role") == "target"].tolist()]


def table_columns(store: Store) -> list[str]:
    """Columns that the user's image table brought along."""
    own = {path.parent.name for path in store.images.path.glob("*/zarr.json")}
    return sorted(own - set(store.images.schema))


def check_columns(source: PredictionSource, scores: ScoreSource | None, columns: Sequence[str]) -> None:
    """Look for every column of predictions, before a night is spent on anything else.

    Parameters
    ----------
    source
        The columns, and their table.
    scores
        The table of scores.
    columns
        Columns that the image table brings along.

    Raises
    ------
    InputError
        For a column that is not there or holds no numbers.
    """
    if source.file is not None:
        _read(source)
        return
    for name in source.columns:
        if name not in columns:
            _read(_of_scores(name, source, scores, columns))


def _of_scores(
    name: str, source: PredictionSource, scores: ScoreSource | None, columns: Sequence[str]
) -> PredictionSource:
    """A column that the image table does not have, as one of the table of scores."""
    of_scores = (
        [] if scores is None or scores.trials is not None else [*map(str, read_table(scores.file, what="scores"))]
    )
    if scores is None or name not in of_scores:
        known = [*columns, *of_scores]
        there = f"; {did_you_mean(name, known)}there are {shorten(known, most=20)}" if known else ""
        raise InputError(
            f"predictions: no column {name!r} in the image table or the scores{there}; or name the table that has it: "
            f"`predictions: {{file: TABLE.csv, image: COLUMN, columns: [{name}]}}`"
        )
    return PredictionSource((name,), scores.file, scores.image, (*source.missing, *scores.missing))


def _matched(store: Store, source: PredictionSource) -> tuple[pd.DataFrame, list[Notice]]:
    """Columns of a table, put beside the targets as scores are."""
    targets, table = target_table(store), _read(source)
    where = f"predictions {source.file}"
    match = find_match(targets, table, where=where, skipped=skipped_targets(store), called="row of predictions")
    notices = [*map(Notice, table.attrs["notices"])]
    for notice in unmatched_notices(match, len(targets), len(table), "prediction"):
        notices.append(notice._replace(text=f"{source.file}: {notice.text}"))
    return match.frame.set_axis(pd.Index(targets["image"], name="image")), notices


def _read(source: PredictionSource) -> pd.DataFrame:
    return read_scores(
        str(source.file), image_column=source.image, columns=source.columns, missing=source.missing, what="predictions"
    )
