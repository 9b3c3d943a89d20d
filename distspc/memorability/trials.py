"""Scores from the responses of subjects: read one by one or as counts by image, with their split-half reliability."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import (
    describe_places,
    is_missing,
    need_columns,
    normalised,
    read_table,
    to_numbers,
    unique_keys,
)
from distspc.kernels.statistics import recognition as kernel
from distspc.memorability.options import COUNT_COLUMNS, RESPONSE_SCORES, TRIAL_COLUMNS, TrialOptions
from distspc.messages import counted, shorten
from distspc.store.format.schema import RELIABILITY, variables
from distspc.store.notices import Notice

FEWEST = 4  # images with a score, for it to be correlated
DEFAULTS = TrialOptions()
_FLAGS = {"1": 1, "0": 0, "1.0": 1, "0.0": 0, "true": 1, "false": 0, "old": 1, "new": 0}


@dataclass(frozen=True)
class Responses:
    """What subjects responded, as scores of images.

    Attributes
    ----------
    scores
        A row per image by its normalised name, a column for each of `RESPONSE_SCORES`; ``attrs["notices"]`` says what
        was left out or counted.
    trials
        The responses one by one, images numbered as the rows of `scores`; None where the table holds counts.
    n_subjects
        Number of subjects, 0 for counts.
    """

    scores: pd.DataFrame
    trials: kernel.Trials | None
    n_subjects: int

    def described(self) -> Notice:
        """What the scores rest on, in a sentence."""
        n = self.scores["n_responses"]
        low, high = int(n.min()), int(n.max())
        each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        who = f"of {counted(self.n_subjects, 'subject')} " if self.trials is not None else ""
        return Notice(
            f"The scores are made of {counted(int(n.sum()), 'response')} {who}to {counted(len(n), 'image')}, {each} "
            "for each; d' has the log-linear correction."
        )


def read_responses(
    path: str | Path, *, image_column: str, options: TrialOptions = DEFAULTS, missing: Collection[str] = ()
) -> Responses:
    """Read responses of subjects, and make the scores of images of them.

    Parameters
    ----------
    path
        Table with a header: a row per subject and image, or counts by image (see `TrialOptions`).
    image_column
        The column that names the image.
    options
        The other columns, and what to do with repeated trials.
    missing
        Entries that mean a missing response or count, beside empty ones, NA and NaN.

    Raises
    ------
    InputError
        For a missing file or column, an entry that is no response or count, an empty name, or repeated trials.
    """
    where = f"responses {path}"
    table = read_table(path, what="responses")
    form = _form_of(table, options)
    need_columns(table, [image_column, *(getattr(options, name) for name in form)], where=where)
    if not len(table):
        raise InputError(f"{where} has a header but no rows")
    reading = _of_counts if form == COUNT_COLUMNS else _of_trials
    return reading(table, image_column, options, missing, where)


def _form_of(table: pd.DataFrame, options: TrialOptions) -> tuple[str, ...]:
    """The columns that a table should have: of counts where these are named, or there and responses are not."""
    trials, counts = ({getattr(options, name) for name in form} for form in (TRIAL_COLUMNS, COUNT_COLUMNS))
    there = set(table.columns)
    of_counts = counts <= there and not trials <= there if options.counts is None else options.counts
    return COUNT_COLUMNS if of_counts else TRIAL_COLUMNS


# ---------------------------------------------------------------------------------------------- counts by image


def _of_counts(
    table: pd.DataFrame, image_column: str, options: TrialOptions, missing: Collection[str], where: str
) -> Responses:
    keys = unique_keys(table[image_column], where=where)
    hits, misses, false_alarms, rejections = (
        _counts(table[getattr(options, name)], where, missing) for name in COUNT_COLUMNS
    )
    counts = kernel.Counts(hits, hits + misses, false_alarms, false_alarms + rejections)
    return Responses(_scores(counts, pd.Index(keys, name=image_column), [*table.attrs["notices"]]), None, 0)


def _counts(column: pd.Series, where: str, missing: Collection[str]) -> np.ndarray:
    """Counts of a column, 0 where one is missing."""
    numbers = to_numbers(column, where=where, missing=missing)
    bad = ((numbers < 0) | (numbers % 1 != 0)).to_numpy() & numbers.notna().to_numpy()
    if bad.any():
        entries = [f"{entry} {place}" for entry, place in zip(column[bad], describe_places(column, bad), strict=True)]
        raise InputError(f"{where}, column {column.name}: not a count: {shorten(entries)}; expected 0, 1, 2, ...")
    return numbers.fillna(0).to_numpy()


def _scores(counts: kernel.Counts, images: pd.Index, notices: list[str]) -> pd.DataFrame:
    found = pd.DataFrame(kernel.recognition_scores(counts), index=images)
    found["n_responses"] = counts.n_old + counts.n_new
    found.attrs["notices"] = notices
    return found


# ---------------------------------------------------------------------------------------------- a row per response


def _of_trials(
    table: pd.DataFrame, image_column: str, options: TrialOptions, missing: Collection[str], where: str
) -> Responses:
    notices = [*table.attrs["notices"]]
    old = _flags(table[options.old], where, ())
    _refuse_empty(table[options.old], old.isna(), where, "whether the image was old must be known")
    response = _flags(table[options.response], where, missing)
    if n := int(response.isna().sum()):
        notices.append(f"{where}: {counted(n, 'row', 'has', of=len(table))} no response: left out")
    names = {"subject": table[options.subject], "image": table[image_column].map(normalised)}
    for column in (names["subject"], names["image"]):
        _refuse_empty(column, column == "", where, "every row names a subject and an image")
    rows = pd.DataFrame({**names, "old": old, "response": response}).dropna()
    if rows.empty:
        raise InputError(f"{where}, column {options.response}: no row has a response")
    rows = _without_repeats(rows, options, where, notices)
    images = pd.Index(rows["image"].unique(), name=image_column)
    subjects, names_of_subjects = pd.factorize(rows["subject"])
    trials = kernel.Trials(
        subjects,
        images.get_indexer(pd.Index(rows["image"])),
        *(rows[name].to_numpy(int) for name in ("old", "response")),
    )
    scores = _scores(kernel.count_responses(trials, len(images)), images, notices)
    return Responses(scores, trials, len(names_of_subjects))


def _flags(column: pd.Series, where: str, missing: Collection[str]) -> pd.Series:
    """1 for 1, true and old, 0 for 0, false and new, NaN for missing entries."""
    text = column.astype(str).str.strip().str.lower()
    flags, empty = text.map(_FLAGS), is_missing(column, missing)
    bad = (flags.isna() & ~empty).to_numpy()
    if bad.any():
        entries = [f"{entry!r} {place}" for entry, place in zip(column[bad], describe_places(column, bad), strict=True)]
        raise InputError(
            f"{where}, column {column.name}: {shorten(entries)}; expected 1 or 0, true or false, old or new; name an "
            "entry that means no response under `missing:` of `scores:`"
        )
    return flags.mask(empty)


def _refuse_empty(column: pd.Series, empty: pd.Series, where: str, why: str) -> None:
    if empty.any():
        places = describe_places(column, empty.to_numpy())
        raise InputError(f"{where}, column {column.name}: empty {shorten(places)}; {why}")


def _without_repeats(rows: pd.DataFrame, options: TrialOptions, where: str, notices: list[str]) -> pd.DataFrame:
    """Rows with one for each subject, image and old or new, as the study says; a sentence about others is added."""
    key = ["subject", "image", "old"]
    repeated = rows.duplicated(key)
    if not repeated.any():
        return rows
    n, lines = int(repeated.sum()), rows.index[repeated]
    first = rows.loc[lines[:3], ["subject", "image"]].itertuples(name=None)
    shown = "; ".join(f"subject {subject}, image {image} in line {line}" for line, subject, image in first)
    more = f" and {n - 3} more" if n > 3 else ""
    if options.duplicates == "refuse":
        raise InputError(
            f"{where}: a subject has several responses to an image as old, or as new: {shown}{more}. Remove these "
            "rows, or set under `scores:` which count: `duplicates: first` (of the responses) or `duplicates: all`"
        )
    which = "the first counts" if options.duplicates == "first" else "all count"
    repeat = counted(n, "row", "repeats")
    notices.append(f"{where}: {repeat} a subject and an image, old or new as before; {which}: {shown}{more}")
    return rows[~repeated] if options.duplicates == "first" else rows


# ---------------------------------------------------------------------------------------------- what can be related


def related_scores(scores: pd.DataFrame, columns: Sequence[str], notices: list[str], *, where: str) -> list[str]:
    """Scores to correlate: those that enough images have and that differ; a sentence about each other one is added.

    Parameters
    ----------
    scores
        Scores of images, as `Responses.scores`.
    columns
        Which are wanted; all but the number of responses by default.
    notices
        Takes the sentences.
    where
        Name of the responses in messages.

    Raises
    ------
    InputError
        If none is left.
    """
    wanted = list(columns) or [*RESPONSE_SCORES[:-1]]
    n = scores[wanted].notna().sum()
    for kind, name in (("old", "hit"), ("new", "fa")):
        without = scores.index[scores[name].isna() & scores["n_responses"].notna()]
        if len(without):
            lost = [score for score in wanted if score in (name, "corrected_hit", "dprime")]
            notices.append(
                f"{where}: {counted(len(without), 'image', 'has')} no response while {kind}, so no "
                f"{', '.join(lost or [name])}: {shorten(without)}"
            )
    few = [name for name in wanted if n[name] < FEWEST]
    same = [name for name in wanted if name not in few and np.ptp(scores[name].dropna()) < 1e-12]
    for names, why in ((few, f"fewer than {FEWEST} images have it"), (same, "the same for all images")):
        if names:
            notices.append(f"{where}: left out, {why}: {', '.join(names)}")
    found = [name for name in wanted if name not in few + same]
    if not found:
        raise InputError(f"{where}: no score is left to correlate: {'; '.join(notices[-2:])}")
    return found


def reliability_table(
    responses: Responses, images: Sequence[int], given: Mapping[str, float], *, n_halves: int = kernel.HALVES
) -> tuple[pd.DataFrame, list[str]]:
    """Split-half reliability of the scores of some images, and sentences about it.

    Parameters
    ----------
    responses
        What subjects responded.
    images
        Rows of the scores, each once: those of the images that are related.
    given
        Reliabilities that the study names by score; ceilings rest on these.
    n_halves
        Random halves of the subjects.

    Returns
    -------
    table : DataFrame
        A row per score, columns as group ``reliability`` of the schema; no rows for counts and for a single subject.
    notices : list of str
        Why there is none, or which scores have another reliability in the study.
    """
    trials = responses.trials
    if trials is None:
        return _no_table(), ["Counts by image have no split-half reliability, which needs the responses of each "
                             "subject: noise ceilings rest on `reliability:` of `scores:` alone."]  # fmt: skip
    kept = _of_images(trials, images, len(responses.scores))
    n_subjects = int(kept.subject.max(initial=-1)) + 1
    if n_subjects < 2:
        return _no_table(), ["A single subject responded to the targets: scores have no split-half reliability."]
    found = kernel.split_half(kept, len(images), n_halves=n_halves)
    table = pd.DataFrame([{"score": name, **asdict(one)} for name, one in found.items()])
    table = table.assign(n_subjects=n_subjects, n_responses=len(kept.image), n_halves=n_halves)
    table["used"] = [given.get(name, one.reliability) for name, one in found.items()]
    unknown = [name for name, one in found.items() if np.isnan(one.reliability)]
    sentences = [f"No split-half reliability of {', '.join(unknown)}: too few images have it in both halves of the "
                 "subjects, or it is the same for all."] if unknown else []  # fmt: skip
    none = [name for name, one in found.items() if one.reliability <= 0 and name not in given]
    if none:
        sentences.append(
            f"The split-half reliability of {', '.join(none)} is not above 0: the subjects' halves do not agree on it, "
            "and its noise ceiling is 0."
        )
    return table, sentences + [
        f"Noise ceilings of {name} rest on the reliability that the study names, {given[name]:.3g}; that of split "
        f"halves is {one.reliability:.3g}."
        for name, one in found.items()
        if name in given
    ]


def _no_table() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype="float64") for name in variables(RELIABILITY)})


def _of_images(trials: kernel.Trials, images: Sequence[int], n_rows: int) -> kernel.Trials:
    """Responses to some images, these and their subjects numbered from 0."""
    place = np.full(n_rows, -1)
    place[list(images)] = np.arange(len(images))
    here = place[trials.image] >= 0
    _, subject = np.unique(trials.subject[here], return_inverse=True)
    return kernel.Trials(subject, place[trials.image[here]], trials.old[here], trials.response[here])
