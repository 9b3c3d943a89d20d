"""The images that are to be scored: files, folders and tables as somebody named them, looked at, told apart."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from dask.base import tokenize

from distspc.errors import InputError
from distspc.images.listing import (
    ImageRecord,
    ImageSource,
    escape_undecodable,
    image_file,
    inspect_image,
    list_images,
    read_image_table,
    unique_names,
)
from distspc.messages import counted, shorten
from distspc.store.store import Store
from distspc.tasks import ranges, task, task_key

if TYPE_CHECKING:
    import pandas as pd
    from dask.delayed import Delayed

TABLES = (".csv", ".tsv", ".txt")
"""Endings of tables of images."""
FILES_PER_TASK = 64

Given: TypeAlias = "str | os.PathLike[str] | pd.DataFrame | Sequence[str | os.PathLike[str]]"
"""Images as they are named in Python: files, folders, tables, or a table that is read already."""


@dataclass(frozen=True)
class NewImage:
    """An image to be scored.

    Attributes
    ----------
    name
        Stem of its file, or more of its path where others have the same.
    file, digest
        Its file, and ``sha256:...`` of what that holds.
    category
        Category in the user's table, or of the same image in the study; empty where there is none.
    position
        Position in the study's image table of the same image, by digest; -1 where it is none of the study's.
    """

    name: str
    file: str
    digest: str
    category: str = ""
    position: int = -1


@dataclass(frozen=True)
class LookedAt:
    """What was found of the images that were named.

    Attributes
    ----------
    images
        Those that can be scored, in order.
    skipped
        File and reason of those that cannot.
    notices
        What is to be said of them.
    """

    images: Sequence[NewImage]
    skipped: Sequence[tuple[str, str]]
    notices: Sequence[str]


def list_new_images(given: Given) -> list[ImageSource]:
    """List images as they are named; a file that is named twice is taken once. Nothing of them is read.

    Parameters
    ----------
    given
        Paths of image files, of folders, of tables with a column ``path`` (and ``category``), one or several; or such
        a table as a data frame.

    Returns
    -------
    list of ImageSource
        Their ids are the stems of the files, or more of the path where these collide.

    Raises
    ------
    InputError
        If a folder or table cannot be read or has no image, or nothing is named.
    """
    found: dict[str, ImageSource] = {}
    for source in _sources(given):
        found.setdefault(source.file, source)
    if not found:
        raise InputError("no image is named: give files, folders, or a table with a column path")
    stems = [Path(file).stem for file in found]
    names = unique_names(list(found), stems)
    return [source._replace(id=name) for source, name in zip(found.values(), names, strict=True)]


def _sources(given: Given) -> Iterable[ImageSource]:
    import pandas as pd

    if isinstance(given, pd.DataFrame):
        return _of_frame(given)
    several = [given] if isinstance(given, str | os.PathLike) else given
    return [source for one in several for source in _of_path(os.fspath(one))]


def _of_path(path: str) -> list[ImageSource]:
    if os.path.isdir(path):
        return list_images(path, "image")
    return read_image_table(path) if path.lower().endswith(TABLES) else [image_file(path)]


def _of_frame(frame: pd.DataFrame) -> list[ImageSource]:
    if "path" not in frame.columns:
        raise InputError(f"the table of images has no column path; it has {shorten(frame.columns)}")
    rows = frame.astype(str).to_dict("records")
    return [image_file(row["path"])._replace(columns={str(k): v for k, v in row.items()}) for row in rows]


def look_tasks(sources: Sequence[ImageSource]) -> list[Delayed]:
    """Build the tasks that read every image once, decode it to be sure, and digest it."""
    look, token = task(_look), tokenize([source.file for source in sources])
    return [
        look(list(sources[start:stop]), dask_key_name=task_key("look", "", token, i))
        for i, (start, stop) in enumerate(ranges(len(sources), FILES_PER_TASK))
    ]


def _look(sources: Sequence[ImageSource]) -> list[ImageRecord]:
    return [inspect_image(source) for source in sources]


def tell_apart(sources: Sequence[ImageSource], records: Sequence[ImageRecord], store: Store) -> LookedAt:
    """Tell images that can be scored from others, and those that are in the study from new ones.

    Parameters
    ----------
    sources, records
        The images, and what was found of each.
    store
        The study's, with its image table.

    Raises
    ------
    InputError
        If none can be used.
    """
    skipped = [(record.file, record.reason) for record in records if record.reason is not None]
    if len(skipped) == len(records):
        first = f"image {skipped[0][0]!r}: {skipped[0][1]}"
        if len(records) == 1:
            raise InputError(f"{first}; there is no other image to score")
        raise InputError(f"none of the {counted(len(records), 'image')} can be used; the first: {first}")
    ids, known = store.images.labels("image"), _StudyImages(store)
    images = [known.image(source, record) for source, record in zip(sources, records, strict=True)
              if record.reason is None]  # fmt: skip
    return LookedAt(images, skipped, [*_in_study(images, ids), *_twice(images)])


class _StudyImages:
    """The images of a study by digest."""

    def __init__(self, store: Store) -> None:
        self.files, self.categories = (store.images.read(name) for name in ("file", "category"))
        self._positions: dict[str, list[int]] = {}
        for i, digest in enumerate(store.images.read("digest").tolist()):
            self._positions.setdefault(digest, []).append(i)

    def image(self, source: ImageSource, record: ImageRecord) -> NewImage:
        """The image of a file that can be used."""
        position = self._position(record)
        category = record.category or ("" if position < 0 else str(self.categories[position]))
        return NewImage(escape_undecodable(source.id), record.file, record.digest, category, position)

    def _position(self, record: ImageRecord) -> int:
        """Of several images of the study with the same bytes the one with the same file, or else the first."""
        same = self._positions.get(record.digest, [-1])
        return next((i for i in same if i >= 0 and str(self.files[i]) == record.file), same[0])


def _in_study(images: Sequence[NewImage], ids: Sequence[str]) -> list[str]:
    """Say which images are the study's own."""
    own = [image for image in images if image.position >= 0]
    if not own:
        return []
    names = shorten([f"{image.name} is {ids[image.position]}" for image in own], most=3)
    return [
        f"{counted(len(own), 'image', 'is', of=len(images))} in the study already ({names}); "
        "no image is its own neighbour"
    ]


def _twice(images: Sequence[NewImage]) -> list[str]:
    """Say which images are the same file under several names."""
    first: dict[str, str] = {}
    pairs = [f"{image.name} is {first[image.digest]}" for image in images
             if first.setdefault(image.digest, image.name) != image.name]  # fmt: skip
    if not pairs:
        return []
    return [f"{counted(len(pairs), 'image', 'has')} the same bytes as another of those "
            f"given ({shorten(pairs, most=3)}): each has its row"]  # fmt: skip


def positions_of(images: Sequence[NewImage]) -> np.ndarray:
    """Position of each image in the study, -1 where it is none of the study's."""
    return np.array([image.position for image in images], dtype=np.int64)


def columns_of(images: Sequence[NewImage], ids: Sequence[str]) -> Mapping[str, list[str]]:
    """What a table says of images: name, file, and which of the study's they are."""
    return {
        "image": [image.name for image in images],
        "file": [image.file for image in images],
        "in_study": [ids[image.position] if image.position >= 0 else "" for image in images],
    }
