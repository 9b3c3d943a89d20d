"""Settings of a correlation and of its scores, and the words that they may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, get_args

Method = Literal["pearson", "spearman"]
Interval = Literal["percentile", "bca"]
Test = Literal["bootstrap", "permutation"]
Duplicates = Literal["refuse", "first", "all"]
Names = str | Sequence[str]

METHODS: tuple[Method, ...] = get_args(Method)
INTERVALS: tuple[Interval, ...] = get_args(Interval)
TESTS: tuple[Test, ...] = get_args(Test)

RESPONSE_SCORES = ("hit", "fa", "corrected_hit", "dprime", "n_responses")
"""Scores that responses of subjects give; all but the last are correlated unless others are named."""

TRIAL_COLUMNS = ("subject", "old", "response")
COUNT_COLUMNS = ("hits", "misses", "false_alarms", "correct_rejections")
"""Columns of responses one by one, and of counts by image: fields of `TrialOptions`."""


class Sampling(TypedDict):
    """Keywords of `distspc.correlate` about its resamples."""

    n_bootstrap: int
    random_state: int | None
    interval: Interval
    test: Test
    n_permutations: int


@dataclass(frozen=True)
class RelateOptions:
    """How measures are related to scores.

    Attributes
    ----------
    n_bootstrap, interval, random_state
        Resamples, kind of interval, seed of the resamples.
    given, control
        Further controls: ``measure:layer``; for `control` also scores and columns, labels as fixed effects. All of
        both are controlled for together.
    within
        Column of labels: correlations are also made within each, with their mean, and in a mixed model.
    test, n_permutations
        Whether a permutation test stands beside the bootstrap's p, and of how many permutations.
    """

    n_bootstrap: int = 1000
    interval: Interval = "percentile"
    given: tuple[str, ...] = ()
    random_state: int | None = 0
    control: tuple[str, ...] = ()
    within: str | None = None
    test: Test = "bootstrap"
    n_permutations: int = 4999

    @property
    def sampling(self) -> Sampling:
        """What the correlation of columns takes of it, by keyword."""
        return {
            "n_bootstrap": self.n_bootstrap,
            "random_state": self.random_state,
            "interval": self.interval,
            "test": self.test,
            "n_permutations": self.n_permutations,
        }


@dataclass(frozen=True)
class ReadoutOptions:
    """How scores are read out of activations and measures.

    Attributes
    ----------
    n_folds
        Folds of the cross-validation.
    penalties
        Ridge penalties that are tried, over the mean squared distance of the features from their mean.
    random_state
        Seed of the folds.
    """

    n_folds: int = 10
    penalties: tuple[float, ...] = tuple(10.0 ** (half / 2) for half in range(-6, 9))
    random_state: int = 0


@dataclass(frozen=True)
class TrialOptions:
    """Columns of a table of responses: one by one, or counts by image.

    Attributes
    ----------
    subject, old, response
        Columns of a table with a row per subject and image: who responded, whether the image was old, and whether the
        response was "old"; 1 or 0, true or false, old or new.
    hits, misses, false_alarms, correct_rejections
        Columns of a table with a row per image: numbers of responses.
    duplicates
        What to do where a subject responds to an image again, old or new as before: ``refuse``, or count the ``first``
        response, or ``all``.
    counts
        Whether the table holds counts; as its columns say by default.
    """

    subject: str = "subject"
    old: str = "old"
    response: str = "response"
    hits: str = "hits"
    misses: str = "misses"
    false_alarms: str = "false_alarms"
    correct_rejections: str = "correct_rejections"
    duplicates: Duplicates = "refuse"
    counts: bool | None = None


@dataclass(frozen=True)
class ScoreSource:
    """Where scores come from: a table of scores, or of responses that they are made of.

    Attributes
    ----------
    file
        The table.
    image
        Column that names the image.
    columns
        Scores to correlate; all by default.
    missing
        Entries that mean a missing value, beside empty ones, NA and NaN.
    trials
        Columns of responses; None for a table of scores.
    """

    file: str | Path
    image: str
    columns: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    trials: TrialOptions | None = None

    @property
    def where(self) -> str:
        """What the table is called in messages."""
        return f"{'scores' if self.trials is None else 'responses'} {self.file}"

    @property
    def called(self) -> str:
        """What one of its entries of images is called in messages."""
        return "row of scores" if self.trials is None else "image with responses"


@dataclass(frozen=True)
class PredictionSource:
    """Where memorability that others predicted comes from.

    Attributes
    ----------
    columns
        Its columns.
    file
        Their table; None for columns of the image table, or of the table of scores.
    image
        Column of this table that names the image.
    missing
        Entries that mean a missing value, beside empty ones, NA and NaN.
    """

    columns: tuple[str, ...]
    file: str | Path | None = None
    image: str = "image"
    missing: tuple[str, ...] = ()
