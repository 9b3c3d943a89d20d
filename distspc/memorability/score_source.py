"""Scores of a study, from a table of scores or of responses: read, and chosen to be correlated."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from distspc.io.columns import normalised, read_table
from distspc.memorability.options import ScoreSource
from distspc.memorability.scores import read_scores
from distspc.memorability.trials import Responses, read_responses, related_scores


@dataclass(frozen=True)
class SourceScores:
    """Scores as their table has them, before they are put beside images.

    Attributes
    ----------
    frame
        A row per image by its normalised name, a column per score; ``attrs["notices"]`` says what was left out.
    responses
        What they are made of, where it is responses.
    """

    frame: pd.DataFrame
    responses: Responses | None = None


def read_source(source: ScoreSource) -> SourceScores:
    """Read the scores that a source names.

    Raises
    ------
    InputError
        As `read_scores` and `read_responses`; of responses also where no score could be correlated.
    """
    if source.trials is None:
        found = read_scores(source.file, image_column=source.image, columns=source.columns, missing=source.missing)
        return SourceScores(found)
    responses = read_responses(source.file, image_column=source.image, options=source.trials, missing=source.missing)
    related_scores(responses.scores, source.columns, [], where=source.where)
    return SourceScores(responses.scores, responses)


def read_columns(source: ScoreSource) -> pd.DataFrame:
    """Read all columns of a table of scores as text, a row per image by its normalised name.

    Of a table of responses one by one, those columns that are the same in all rows of an image.
    """
    table = read_table(source.file, what="scores").drop(columns="", errors="ignore")
    rows = table.set_axis(table[source.image].map(normalised), axis=0)
    if not rows.index.has_duplicates:
        return rows
    first = rows[~rows.index.duplicated()]
    same = [name for name in rows.columns if (rows[name] == first[name].reindex(rows.index)).all()]
    return first[same]


def described_responses(source: ScoreSource) -> list[str]:
    """Say what the scores of a source are made of, and what was left out or counted on the way."""
    found = read_source(source)
    if found.responses is None:
        return []
    notices = [*found.frame.attrs["notices"]]
    names = related_scores(found.frame, source.columns, notices, where=source.where)
    return [found.responses.described().text, f"correlated: {', '.join(names)}", *notices]
