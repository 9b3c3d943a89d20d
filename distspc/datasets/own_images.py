"""A study of one's own images: which column of a table names them, which hold scores, and the study file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import yaml

from distspc.datasets.new_study import NewStudy, settings_text
from distspc.errors import InputError
from distspc.images.listing import ImageSource, beside_images, list_images
from distspc.io.columns import need_columns, normalised, pick_columns, read_table, to_numbers, unique_keys
from distspc.io.csv_tables import is_index
from distspc.io.files import written_whole
from distspc.memorability.matching import Match, UnmatchedError, find_match, match_notices
from distspc.memorability.scores import check_rates
from distspc.messages import counted, shorten

_FOLDERS = (("Targets", "Fillers"), ("Images/Targets", "Images/Fillers"))
DEFAULT_WEIGHTS = "hybrid1365"
_FEWEST = 0.5
"""Share of images, or of rows if these are fewer, that a column must name to be the one that names images."""


@dataclass(frozen=True)
class OwnImages:
    """Folders of the images of a new study, and its targets as they are listed."""

    targets: Path
    fillers: Path | None
    listed: Sequence[ImageSource]
    sentences: tuple[str, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The targets: image (id), number, file."""
        rows = [(one.id, one.number, one.file) for one in self.listed]
        return pd.DataFrame(rows, columns=["image", "number", "file"])


@dataclass(frozen=True)
class OwnScores:
    """A table of scores beside the images of a new study.

    Attributes
    ----------
    file, image, columns
        The table, the column that names the image, and those with scores.
    sentences
        What was matched and what was not, what was converted or left out.
    missing
        Entries that mean a missing value.
    renamed
        The table with the names of the files, where its own differ from them in case or ending; to be written.
    """

    file: Path
    image: str
    columns: tuple[str, ...]
    sentences: tuple[str, ...]
    missing: tuple[str, ...] = ()
    renamed: pd.DataFrame | None = field(default=None, compare=False)

    @property
    def place(self) -> Path:
        """The table that the study reads: a new one beside it where names differ."""
        return self.file if self.renamed is None else Path("scores.csv")

    @property
    def column(self) -> str:
        """The column of that table that names the image."""
        return self.image if self.renamed is None else str(self.renamed.columns[0])


def find_images(folder: str | Path, fillers: str | Path | None = None) -> OwnImages:
    """Look for images: in a folder, or in Targets and Fillers inside it, as the authors have them.

    Raises
    ------
    InputError
        If there is no such folder, or no image in it.
    """
    folder = Path(folder).expanduser()
    targets = folder
    for name, others in _FOLDERS:
        if (folder / name).is_dir():
            targets = folder / name
            fillers = folder / others if fillers is None and (folder / others).is_dir() else fillers
            break
    found = None if fillers is None else Path(fillers).expanduser()
    if found is not None and found.is_dir() and targets.samefile(found):
        raise InputError(f"{found} is the folder of the targets too: name another folder for the fillers")
    listed = list_images(targets, "target")
    sentences = [f"{counted(len(listed), 'image')} in {targets}"]
    if found is not None:
        n = counted(len(list_images(found, "filler")), "filler")
        sentences.append(f"{n}, only compared with, in {found}")
    sentences += [f"{targets} also holds {text}: left out" for text, _ in beside_images(targets)]
    return OwnImages(targets, found, listed, tuple(sentences))


def find_scores(
    file: str | Path,
    images: OwnImages,
    *,
    image: str | None = None,
    columns: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> OwnScores:
    """Find the column of a table that names the images, and those that hold scores.

    Parameters
    ----------
    file
        Table with a header; commas, semicolons or tabs between columns.
    images
        The images.
    image
        Column that names the image; by default the one that names most of them.
    columns
        Columns of scores; by default all that hold numbers.
    missing
        Entries that mean a missing value, beside empty ones, NA and NaN.

    Raises
    ------
    InputError
        If the file cannot be read, no column names the images, or none holds numbers.
    """
    file, where = Path(file).expanduser(), f"scores {file}"
    table = read_table(file, what="scores")
    need_columns(table, [*([] if image is None else [image]), *columns], where=where)
    if not len(table):
        raise InputError(f"{where} has a header but no rows")
    naming = _naming_columns(table, images.frame, where, image)
    renamed = None
    if naming:
        name, match = next(iter(naming.items()))
    else:
        name, match, renamed = _renamed(table, images.frame, where, image)
    said = [*table.attrs["notices"], f"column {name!r} of {file.name} names the images"]
    if renamed is not None:
        said.append(
            f"names in it differ from those of the files in capitals or ending, such as {_difference(renamed)}: the "
            "study has a table of its own, scores.csv, with the names of the files in its first column"
        )
    said += [notice.text for notice in match_notices(match, images.frame)]
    chosen, left = list(columns), list[str]()
    if not columns:
        chosen, left = pick_columns(table, but=[name, *naming], where=where, missing=missing)
        also = [column for column in naming if column != name]
        left += [f"{where}: left out, names the images too: column {shorten(also)}"] if also else []
    if not chosen:
        raise InputError(f"{where} has no column of numbers beside {name!r}; it has {shorten(table.columns, most=40)}")
    for column in chosen:
        check_rates(to_numbers(table[column], where=where, missing=missing), where=where)
    said += [f"scores: column {', '.join(chosen)}", *left]
    return OwnScores(file, name, tuple(chosen), tuple(said), tuple(missing), renamed)


def _naming_columns(table: pd.DataFrame, images: pd.DataFrame, where: str, image: str | None) -> dict[str, Match]:
    """Columns that name the images, the one that names most first, index columns last; none where none does."""
    found: list[tuple[bool, bool, int, str, Match]] = []
    problem: InputError | None = None
    for i, name in enumerate(table.columns):
        try:
            keys = unique_keys(table[name], where=where)
            match = find_match(images, pd.DataFrame(index=pd.Index(keys, name=name)), where=where)
        except UnmatchedError:
            continue
        except InputError as error:
            problem = problem or (error if name == image or _names_some(table[name], images) else None)
            continue
        if name == image or sum(map(bool, match.rows)) >= _FEWEST * min(len(images), len(table)):
            index = is_index(name, list(table[name]), first=i == 0)
            found.append((name != image, index, -sum(map(bool, match.rows)), name, match))
    ordered = sorted(found, key=lambda one: one[:3])
    named = {name: match for *_, name, match in ordered}
    if problem is not None and (image or next(iter(named), None)) not in named:
        raise InputError(
            f"{problem}. Of a table with several rows for an image, one for each response, name it as `trials` "
            "under `scores`; else give each image one row"
        )
    return named if image is None or image in named else {}


def _names_some(column: pd.Series, images: pd.DataFrame) -> bool:
    """Whether a column whose entries are not all different names images nonetheless."""
    keys = pd.Index(column.map(normalised).unique(), name=column.name).drop("", errors="ignore")
    try:
        match = find_match(images, pd.DataFrame(index=keys))
    except InputError:
        return False
    return (
        sum(map(bool, match.rows)) >= _FEWEST * min(len(images), len(keys))
        and not column.str.fullmatch(r"[\d.,]*").all()
    )


def _renamed(
    table: pd.DataFrame, images: pd.DataFrame, where: str, image: str | None
) -> tuple[str, Match, pd.DataFrame]:
    """The column that names images but for case and ending, and the table with the names of the files before it."""
    stems = {file: _stem(PurePosixPath(file).name) for file in images["file"].map(lambda file: Path(file).as_posix())}
    files = {stem: file for file, stem in stems.items()}
    for name in table.columns if len(files) == len(stems) else ():
        found = table[name].map(lambda entry: files.get(_stem(PurePosixPath(normalised(entry)).name), ""))
        taken = found[found != ""]
        if image in (None, name) and len(taken) >= _FEWEST * min(len(images), len(table)) and taken.is_unique:
            names = found.map(lambda file: PurePosixPath(file).name).where(found != "", table[name])
            own = next(
                word for word in ("file", "file name", "image file", "file of image") if word not in table.columns
            )
            renamed = pd.concat([names.rename(own), table], axis=1)
            return name, find_match(images, pd.DataFrame(index=pd.Index(names, name=own)), where=where), renamed
    shown = [f"{name or 'without a name'} ({shorten(table[name], most=2)})" for name in table.columns]
    raise InputError(
        f"{where}: no column names the images, which are {shorten(images['file'].map(os.path.basename), most=3)}; "
        f"it has the columns {shorten(shown, most=8)}. Write the file names into one of them"
    )


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.casefold()


def _difference(renamed: pd.DataFrame) -> str:
    """The first file name and what stands for it in the table."""
    first = renamed.iloc[0]
    own = next((str(e) for e in first.iloc[1:] if _stem(PurePosixPath(str(e)).name) == _stem(first.iloc[0])), "")
    return f"{own} for {first.iloc[0]}"


def init_own_study(
    directory: str | Path,
    images: OwnImages,
    scores: OwnScores | None = None,
    *,
    weights: str | Path = DEFAULT_WEIGHTS,
) -> NewStudy:
    """Write a study of one's own images that can be run as it is.

    Parameters
    ----------
    directory
        Folder of the study; made if missing.
    images, scores
        What `find_images` and `find_scores` found; without scores the study ends with the measures.
    weights
        What `model: weights:` may name.

    Returns
    -------
    NewStudy
        The study file; ``left`` says what was found, matched and left out.

    Raises
    ------
    InputError
        If the folder holds another study or is a file, or the weights cannot be used.
    """
    directory = Path(directory).expanduser()
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file; name a folder for the study")
    content: dict[str, Any] = {"store": "study.zarr", "images": {"targets": _place(images.targets, directory)}}
    if images.fillers is not None:
        content["images"]["fillers"] = _place(images.fillers, directory)
    if scores is not None:
        file = str(scores.place) if scores.renamed is not None else _place(scores.file, directory)
        content["scores"] = {"file": file, "image": scores.column, "columns": list(scores.columns)}
        content["scores"] |= {"missing": list(scores.missing)} if scores.missing else {}
    text = f"# A study of the images in {images.targets.name}.\n{_as_yaml(content)}{settings_text(str(weights))}"
    study = directory / "study.yaml"
    if study.exists() and study.read_text(encoding="utf-8") != text:
        raise InputError(f"{study} is there already, and another study: name another folder, or remove it")
    directory.mkdir(parents=True, exist_ok=True)
    if scores is not None and scores.renamed is not None:
        with written_whole(directory / "scores.csv") as beside:
            scores.renamed.to_csv(beside, index=False)
    study.write_text(text, encoding="utf-8")
    return NewStudy(
        study, (*images.sentences, *(scores.sentences if scores else ("no scores: it ends with the measures",)))
    )


def check_weights(weights: str) -> str:
    """Return what `init_own_study` may take as weights.

    Raises
    ------
    InputError
        If there are no such weights.
    """
    settings_text(weights)
    return weights


def _place(path: Path, directory: Path) -> str:
    """A path as the study names it: from its folder where both lie in one, else in full."""
    path, directory = path.absolute(), directory.absolute()
    near = path.is_relative_to(directory.parent)
    return Path(os.path.relpath(path, directory)).as_posix() if near else str(path)


def _as_yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=10_000)
