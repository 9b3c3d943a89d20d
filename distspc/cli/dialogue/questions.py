"""What `distspc init` asks in a terminal; each answer is checked before the next question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import typer

from distspc.cli.dialogue.speech import echo_text
from distspc.datasets.new_study import NewStudy
from distspc.datasets.own_images import (
    DEFAULT_WEIGHTS,
    OwnImages,
    OwnScores,
    check_weights,
    find_images,
    find_scores,
    init_own_study,
)
from distspc.errors import InputError
from distspc.io.columns import read_table
from distspc.messages import shorten

AnswerT = TypeVar("AnswerT")

NONE = "none"
"""Answer, and default, where a thing may be left out."""


def ask_for_study(directory: Path | None) -> NewStudy:
    """Ask for images, scores and network, and write the study.

    Raises
    ------
    InputError
        If the folder cannot hold the study.
    """
    echo_text("A study of your own images. Enter takes what is in brackets; Ctrl-C leaves, and nothing is written.")
    place = directory or ask("Folder of the study, which is made if it is not there", "study", _free_folder)
    targets = ask("Folder of the images", None, find_images)
    images = ask(
        "Folder of images that are only compared with (fillers)", NONE, lambda text: _with_fillers(targets, text)
    )
    for sentence in images.sentences:
        echo_text(f"  {sentence}")
    scores = ask("Table of scores (CSV)", NONE, lambda text: _scores(text, images))
    if scores is not None:
        scores = _confirmed(scores, images)
    weights = ask("Network: hybrid1365, imagenet, random, or a file", DEFAULT_WEIGHTS, check_weights)
    return init_own_study(place, images, scores, weights=weights)


def ask(question: str, default: str | None, check: Callable[[str], AnswerT]) -> AnswerT:
    """Ask until an answer passes its check; says why one does not."""
    while True:
        answer = str(typer.prompt(question, default=default)).strip().strip("'\"")
        try:
            return check(answer)
        except InputError as error:
            echo_text(f"  {error}")


def _free_folder(text: str) -> Path:
    path = Path(text).expanduser()
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; name a folder")
    if (path / "study.yaml").exists():
        raise InputError(f"{path} holds a study already; name another folder")
    return path


def _with_fillers(images: OwnImages, text: str) -> OwnImages:
    return images if text == NONE else find_images(images.targets, text)


def _scores(text: str, images: OwnImages) -> OwnScores | None:
    """Scores of a table; what is in the way of finding its columns is said, and asked for."""
    if text == NONE:
        return None
    if not Path(text).expanduser().is_file():
        raise InputError(f"{text}: there is no such file")
    try:
        return find_scores(text, images)
    except InputError as error:
        names = list(read_table(Path(text).expanduser(), what="scores").columns)
        echo_text(f"  {error}")
    image = ask("Column that names the images", next(iter(names), None), lambda name: _column(name, names))
    missing = ask("Entries that mean a missing score, with commas between", NONE, _parts)
    return find_scores(text, images, image=image, missing=missing)


def _column(name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise InputError(f"there is no column {name!r}; there are {shorten(names, most=40)}")
    return name


def _parts(text: str) -> list[str]:
    """Words with commas between; none where the answer is `NONE`."""
    return [] if text == NONE else [part for part in map(str.strip, text.split(",")) if part]


def _confirmed(scores: OwnScores, images: OwnImages) -> OwnScores:
    """The scores of the columns that were found, or of others."""
    for sentence in scores.sentences:
        echo_text(f"  {sentence}")

    def chosen(text: str) -> OwnScores:
        columns = _parts(text)
        return find_scores(scores.file, images, image=scores.image, columns=columns, missing=scores.missing)

    return ask("Score columns, with commas between", ", ".join(scores.columns), chosen)
