"""Which row of a matrix is which image's, by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from distspc.errors import InputError
from distspc.images.listing import EXTENSIONS, ImageSource
from distspc.io.columns import normalised
from distspc.messages import counted, shorten

Parts = tuple[str, ...]


def match_rows(names: Sequence[str], images: Sequence[ImageSource], *, where: str) -> np.ndarray:
    """Find the row of every image.

    A name is an image's if it is its id or the end of its path (the longest end counts), with or without the file's
    ending; or if its last part, without ending, is that of one image and one row alone. Names are compared in NFC,
    with slashes or backslashes; case counts.

    Parameters
    ----------
    names
        Names of the rows.
    images
        The images.
    where
        Name of the matrix in messages.

    Returns
    -------
    np.ndarray
        int64 (image,): a row of each. Rows without an image are left out.

    Raises
    ------
    InputError
        If an image has no row or two, or a row is that of two images; names the first.
    """
    by_name = [_parts(name) for name in names]
    paths = [(_parts(image.file), _parts(image.id)) for image in images]
    rows = np.full(len(images), -1, np.int64)
    for shorten_name in (tuple, _without_ending):
        of_name = _by_name([shorten_name(name) for name in by_name])
        for i, path in enumerate(paths):
            if rows[i] < 0:
                rows[i] = _row(of_name, [shorten_name(one) for one in path], names, where)
    _match_last_parts(
        rows, [_without_ending(name)[-1:] for name in by_name], [_without_ending(p)[-1] for p, _ in paths]
    )
    _refuse_missing(rows, images, names, where)
    _refuse_shared(rows, images, names, where)
    return rows


def _parts(path: object) -> Parts:
    return tuple(part for part in normalised(path).split("/") if part not in {"", ".", ".."})


def _without_ending(parts: Parts) -> Parts:
    """A name without the ending of an image file; a number without zeros in front."""
    last = parts[-1] if parts else ""
    ending = next((one for one in EXTENSIONS if last.lower().endswith(one) and len(last) > len(one)), "")
    return (*parts[:-1], normalised(last[: len(last) - len(ending)]))


def _by_name(names: Sequence[Parts]) -> dict[Parts, list[int]]:
    found = defaultdict(list)
    for row, name in enumerate(names):
        found[name].append(row)
    return found


def _row(of_name: dict[Parts, list[int]], paths: Sequence[Parts], names: Sequence[str], where: str) -> int:
    """The row that bears the longest end of a path, or the id; -1 without."""
    path, image = paths
    for wanted in (*(path[start:] for start in range(len(path))), image):
        found = of_name.get(wanted, ())
        if len(found) > 1:
            raise InputError(
                f"{where}: rows {found[0] + 1} and {found[1] + 1} are both those of {names[found[0]]!r}: keep one"
            )
        if found:
            return found[0]
    return -1


def _match_last_parts(rows: np.ndarray, names: Sequence[Parts], files: Sequence[str]) -> None:
    """Fill in rows whose last part no other row or image has."""
    n_rows, n_images = Counter(names), Counter(files)
    row_of = {name[0]: row for row, name in enumerate(names) if name and n_rows[name] == 1}
    for i, file in enumerate(files):
        if rows[i] < 0 and n_images[file] == 1 and file in row_of:
            rows[i] = row_of[file]


def _refuse_missing(rows: np.ndarray, images: Sequence[ImageSource], names: Sequence[str], where: str) -> None:
    missing = [image.file for image, row in zip(images, rows, strict=True) if row < 0]
    if missing:
        there = f"its rows are called {shorten(list(names), most=3)}" if names else "it has no rows"
        raise InputError(
            f"{where}: {counted(len(missing), 'image', 'has', of=len(images))} no row: {shorten(missing, most=3)}; "
            f"{there}. Add their rows, or take these images out of the study"
        )


def _refuse_shared(rows: np.ndarray, images: Sequence[ImageSource], names: Sequence[str], where: str) -> None:
    order = np.argsort(rows, kind="stable")
    same = np.flatnonzero(np.diff(rows[order]) == 0)
    if same.size:
        first, second = (images[int(order[same[0] + step])].file for step in (0, 1))
        raise InputError(
            f"{where}: row {names[rows[order[same[0]]]]!r} is that of {first!r} and of {second!r}: "
            "name the rows by more of the path"
        )
