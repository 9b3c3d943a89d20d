"""Which score belongs to which image: one rule for studies and for any two tables.

A row names an image by its file name or the last parts of its path, its id, its stem, or the one number in its name:
the rule that fits most images counts, in this order where several fit alike, and every other rule has to agree with
it. A row's number is an image's position only where the rows are exactly 1..n over all images, readable or not, and no
name holds a number. Anything else is an error that shows the readings. Names are compared in NFC; case counts.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import normalised, unique_keys
from distspc.messages import counted, shorten
from distspc.store.notices import Notice
from distspc.store.store import Store

log = logging.getLogger(__name__)


class UnmatchedError(InputError):
    """No name of one side is a name of the other."""


@dataclass(frozen=True)
class Match:
    """Scores beside the images they belong to.

    Attributes
    ----------
    key
        What the image column names: ``"file name"``, ``"path of 2 parts"``, ``"path"`` (of several lengths), ``"id"``,
        ``"stem"``, ``"number in the name"``, or ``"number"`` (the position).
    frame
        One row per image, indexed like the images; one column per score, NaN without a score.
    without_score
        Ids of images that no row names.
    without_image
        Entries of the image column that name no image.
    rows
        For every image the entry of the image column, empty without.
    called
        What the rows are called in messages.
    """

    key: str
    frame: pd.DataFrame
    without_score: tuple[str, ...] = field(default=())
    without_image: tuple[str, ...] = field(default=())
    rows: tuple[str, ...] = field(default=())
    called: str = "row of scores"


def _parts(path: object) -> tuple[str, ...]:
    return tuple(part for part in normalised(path).split("/") if part not in {"", ".", ".."})


def _number_in(stem: str) -> str:
    numbers = re.findall(r"\d+", stem)
    return normalised(numbers[0]) if len(numbers) == 1 else ""


def _positions(keys: Sequence[str], wanted: pd.Index) -> np.ndarray:
    """Row of `wanted` for each image, -1 without; names that two images share are not used."""
    found = wanted.get_indexer(pd.Index(keys))
    found[pd.Series(keys).duplicated(keep=False).to_numpy()] = -1
    return np.asarray(found)


def _by_path(paths: Sequence[tuple[str, ...]], wanted: pd.Index) -> tuple[str, np.ndarray]:
    """Rows by the longest end of each path that a row holds, and what to call it."""
    names = pd.Index(["/".join(_parts(entry)) for entry in wanted])
    names = names.where(~names.duplicated(keep=False), "//")  # two rows of one name mean no image
    depths = sorted({name.count("/") + 1 for name in names if name != "//"}, reverse=True)
    rows, used = np.full(len(paths), -1), set()
    names = pd.Index([name if name != "//" else f"//{i}" for i, name in enumerate(names)])
    for depth in depths:
        found = _positions(["/".join(path[-depth:]) for path in paths], names)
        taken = (rows < 0) & (found >= 0)
        rows[taken] = found[taken]
        used |= {depth} if taken.any() else set()
    key = "path" if len(used) > 1 else "file name" if used <= {1} else f"path of {min(used)} parts"
    return key, rows


def _readings(images: pd.DataFrame, wanted: pd.Index) -> dict[str, np.ndarray]:
    """Row for each image by every rule that goes by names, in order of preference."""
    paths = [_parts(file) for file in images["file"]]
    stems = [PurePosixPath(path[-1]).stem if path else "" for path in paths]
    path_key, by_path = _by_path(paths, wanted)
    return {
        path_key: by_path,
        "id": _positions([normalised(image) for image in images["image"]], wanted),
        "stem": _positions([normalised(stem) for stem in stems], wanted),
        "number in the name": _positions([_number_in(stem) for stem in stems], wanted),
    }


def _by_position(images: pd.DataFrame, wanted: pd.Index, skipped: pd.DataFrame | None) -> np.ndarray:
    """Rows by position; none unless the rows are exactly 1..n over all images, readable or not."""
    numbers = [str(n) for n in [*images["number"], *([] if skipped is None else skipped["number"])]]
    complete = {str(i + 1) for i in range(len(numbers))}
    if set(numbers) != complete or set(wanted) != complete:
        return np.full(len(images), -1)
    return _positions([str(n) for n in images["number"]], wanted)


def _pairs(files: Sequence[str], wanted: pd.Index, rows: np.ndarray, which: np.ndarray) -> str:
    return ", ".join(f"{files[i]} -> {wanted[rows[i]]}" for i in np.flatnonzero(which)[:3])


def _within_their_folder(files: Iterable[str]) -> list[str]:
    """Files as messages show them: relative to the folder that all of them are in."""
    files = list(files)
    try:
        folder = os.path.commonpath([os.path.dirname(file) for file in files])
    except ValueError:  # some are absolute and some are not
        folder = ""
    return [os.path.relpath(file, folder) for file in files] if folder else files


def _choose(images: pd.DataFrame, wanted: pd.Index, skipped: pd.DataFrame | None, where: str) -> tuple[str, np.ndarray]:
    """Return the rule that all others agree with, and its row for each image."""
    readings = _readings(images, wanted)
    key = max(readings, key=lambda name: int((readings[name] >= 0).sum()))
    rows = readings[key]
    position = _by_position(images, wanted, skipped)
    files = [*images["file"], *([] if skipped is None else skipped["file"])]
    digits = any(re.search(r"\d", PurePosixPath(str(file)).stem) for file in files)
    if not (rows >= 0).any() and not digits:
        return "number", position
    others = dict(readings)
    if (rows < 0).any():
        others["number"] = position
    for name, other in others.items():
        differ = (other >= 0) & (other != rows)
        if differ.any():
            shown = _within_their_folder(images["file"])
            one = _pairs(shown, wanted, rows, rows >= 0) or "no image"
            raise InputError(
                f"{where}: ambiguous: by {key}: {one}; by {name if name != 'number' else 'position'}: "
                f"{_pairs(shown, wanted, other, differ)}. Write the file names into column {wanted.name!r}"
            )
    return key, rows


def _way_out(images: pd.DataFrame, wanted: pd.Index) -> str:
    """Say where a difference in case or ending alone keeps names apart."""

    def stem(name: str) -> str:
        return PurePosixPath(name).stem

    entries = {stem(_parts(entry)[-1]).casefold(): str(entry) for entry in wanted if _parts(entry)}
    for file in images["file"]:
        name = _parts(file)[-1]
        entry = entries.get(stem(name).casefold())
        if entry is not None:
            what = "case" if stem(_parts(entry)[-1]) != stem(name) else "file ending"
            return f". {entry} and {name} differ in {what} alone: rename one of them"
    return ""


def find_match(
    images: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    where: str = "the scores",
    skipped: pd.DataFrame | None = None,
    called: str = "row of scores",
) -> Match:
    """Put scores beside images by the rule of this module.

    Parameters
    ----------
    images
        Columns image (id), number, file; a row per image.
    scores
        As `read_scores` returns them.
    where
        Name of the scores in messages.
    skipped
        Columns number, file of images that cannot be used: they count for positions.
    called
        What the rows are called in messages.

    Raises
    ------
    InputError
        If no image has a score, or two rules fit different images; shows names of both sides.
    """
    wanted = pd.Index([normalised(entry) for entry in scores.index], name=scores.index.name)
    if wanted.has_duplicates:
        raise InputError(f"{where}: rows that name the same image: {shorten(wanted[wanted.duplicated()].unique())}")
    key, rows = _choose(images, wanted, skipped, where)
    if not (rows >= 0).any():
        names = [_parts(file)[-1] for file in images["file"]]
        raise UnmatchedError(
            f"{where} and the images have nothing in common: column {wanted.name!r} holds {shorten(wanted)}; the "
            f"images are number {shorten(images['number'], most=3)} or file {shorten(names)}"
            f"{_way_out(images, wanted) or '; choose the column that names images, or correct its entries'}"
        )
    frame = scores.iloc[rows.clip(0)].set_axis(images.index)
    frame.loc[rows < 0] = np.nan
    return Match(
        key,
        frame,
        without_score=tuple(images["image"][rows < 0].astype(str)),
        without_image=tuple(wanted[np.setdiff1d(np.arange(len(scores)), rows)].astype(str)),
        rows=tuple(str(wanted[row]) if row >= 0 else "" for row in rows),
        called=called,
    )


def match_scores(
    images: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    where: str = "the scores",
    skipped: pd.DataFrame | None = None,
    called: str = "row of scores",
) -> Match:
    """Put scores beside images as `find_match` does, and log the rule, a pair, and what has no partner."""
    match = find_match(images, scores, where=where, skipped=skipped, called=called)
    rule, *lost = match_notices(match, images)
    log.info("%s: %s", where, rule.text)
    for notice in lost:
        log.warning("%s: %s", where, notice.text)
    return match


def match_notices(match: Match, images: pd.DataFrame) -> list[Notice]:
    """By what images and rows were matched, with a pair, and what has no partner; a warning beyond a tenth."""
    files = _within_their_folder(images["file"])
    row, file = next((row, file) for row, file in zip(match.rows, files, strict=True) if row)
    rule = "position" if match.key == "number" else match.key
    n_rows = sum(map(bool, match.rows)) + len(match.without_image)
    return [
        Notice(f"Scores were matched to images by {rule}, such as {row} to {file}."),
        *unmatched_notices(match, len(images), n_rows, "score"),
    ]


def unmatched_notices(match: Match, n_images: int, n_rows: int, what: str) -> list[Notice]:
    """What has no partner, of so many images and rows; a warning where that is more than a tenth."""
    lost = (
        (match.without_score, n_images, "target", f"has no {what}"),
        (match.without_image, n_rows, match.called, "names no target"),
    )
    return [
        Notice(f"{counted(len(names), noun, verb)}: {shorten(names)}.", warning=len(names) * 10 > n)
        for names, n, noun, verb in lost
        if names
    ]


def skipped_targets(store: Store) -> pd.DataFrame:
    """Return number and file of the targets of a store that could not be used."""
    if not store.skipped.exists():
        return pd.DataFrame({"number": [], "file": []})
    names = ("role", "number", "file")
    skipped = pd.DataFrame({name: store.skipped.read(name).tolist() for name in names})
    return skipped[skipped["role"] == "target"][["number", "file"]]


def common_rows(
    tables: Mapping[str, pd.DataFrame], columns: Sequence[str]
) -> tuple[list[pd.DataFrame], dict[str, tuple[str, ...]]]:
    """Rows of two tables that name the same image, in the order of the first, and the names only one of them has.

    Parameters
    ----------
    tables
        Two tables by their name in messages; the first names images as files or ids, as `match_scores` takes them.
    columns
        For each the column that names the image.

    Raises
    ------
    UnmatchedError
        If nothing is in common.
    InputError
        If two rules fit different images.
    """
    keys = [
        unique_keys(table[column], where=name) for (name, table), column in zip(tables.items(), columns, strict=True)
    ]
    (first, left), (second, right) = tables.items()
    right_keys = pd.Index(keys[1], name=columns[1])
    images = pd.DataFrame({"image": keys[0].to_numpy(), "file": keys[0].to_numpy(), "number": 0})
    try:
        match = match_scores(images, right.set_axis(right_keys), where=second)
    except UnmatchedError:
        sides = [f"{name} has {shorten(key)}" for name, key in zip(tables, keys, strict=True)]
        raise UnmatchedError(
            f"no image is in both tables: {'; '.join(sides)}{_way_out(images, pd.Index(keys[1]))}"
        ) from None
    there = np.array([bool(row) for row in match.rows])
    rows = right_keys.get_indexer(pd.Index([row for row in match.rows if row]))
    shared = pd.Index(keys[0])[there]
    result = [left[there].set_axis(shared), right.iloc[rows].set_axis(shared)]
    return result, {first: match.without_score, second: match.without_image}
