"""Which images a study has: folders and tables listed, files looked at, bad ones named with their reason.

How a file becomes RGB and the network's input is told in `distspc.images.decoding`.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distspc.errors import BadImageError, InputError
from distspc.images.decoding import decode_picture, read_file
from distspc.io.csv_tables import is_unnamed, read_csv_table
from distspc.io.files import digest_of, os_reason
from distspc.messages import counted

logger = logging.getLogger(__name__)

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# Pictures that we do not read are named as skipped, so that nobody takes them for done.
_OTHER_PICTURES = (".avif", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".pbm", ".pgm", ".ppm", ".psd", ".svg")
ROLES = {"target": "targets", "filler": "fillers"}
IMAGE = "image"
"""Role of an image that is none of a study's."""
_PLURALS = {**ROLES, IMAGE: "images"}
_READABLE = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_ROLE_NAMES = {name: role for role, plural in ROLES.items() for name in (role, plural)}


class ImageSource(NamedTuple):
    """One image as the user named it; nothing of it has been read.

    Attributes
    ----------
    id : str
        Unique name, such as ``targets/12``.
    role : str
        ``target`` or ``filler``.
    number : int
        The number in the file's name if every file of the set is a number, else the position, from 1.
    file : str
        Absolute path.
    columns : Mapping[str, str]
        Further columns of an image table.
    problem : str or None
        Why the file cannot be used, where its name alone says so.
    """

    id: str
    role: str
    number: int
    file: str
    columns: Mapping[str, str] = {}
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image as its file was found: a row of the image table, or of the list of files that cannot be used.

    Attributes
    ----------
    image, role, number, file, category
        As its `ImageSource` names it, in text that a store can hold (see `escape_undecodable`).
    nbytes, modified : int
        See `file_signature`.
    reason : str or None
        Why it cannot be used; then it has no sizes, digest and remarks.
    width, height : int
        Pixels.
    digest : str
        ``sha256:...`` of the file.
    remarks : tuple of str
        Keys of `distspc.images.pixels.REMARKS`; the store keeps them as notices, so they are not compared.
    """

    image: str
    role: str
    number: int
    file: str
    category: str
    nbytes: int
    modified: int
    reason: str | None = None
    width: int = 0
    height: int = 0
    digest: str = ""
    remarks: tuple[str, ...] = field(default=(), compare=False)


def list_images(folder: str | os.PathLike[str], role: str = "target") -> list[ImageSource]:
    """List the images of a folder in natural order (2 before 10).

    Subfolders, hidden files and other files are left out (`beside_images` counts them). Pictures of a kind
    that is not read are listed with a `problem`.

    Parameters
    ----------
    folder
        The folder.
    role
        ``target``, ``filler``, or `IMAGE`.

    Returns
    -------
    list of ImageSource

    Raises
    ------
    InputError
        If there is no such folder, or no image in it.
    """
    folder = os.path.abspath(folder)
    names = _natural_order(_picture_names(folder, role))
    beginning = os.path.join(folder, "")
    with _many_objects():
        return _sources([beginning + name for name in names], [{}] * len(names), role)


@contextmanager
def _many_objects() -> Iterator[None]:
    """Inside this block nobody looks for garbage: among a million tuples that takes longer than to make them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def count_images(folder: str | os.PathLike[str], role: str = "target") -> int:
    """Count the images that `list_images` lists of a folder, which raises the same errors."""
    return len(_picture_names(os.path.abspath(folder), role))


def _picture_names(folder: str, role: str) -> list[str]:
    """Names of the pictures of a folder, also of those that are not read."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise InputError(f"folder of {_PLURALS[role]} {folder!r}: {os_reason(error)}") from error
    wanted = (*EXTENSIONS, *_OTHER_PICTURES)
    names = [name for name in names if name.lower().endswith(wanted) and not name.startswith(".")]
    if not any(name.lower().endswith(EXTENSIONS) for name in names):
        kinds = ", ".join(e[1:] for e in EXTENSIONS)
        held = "".join(f"; it holds {text}" for text, _ in beside_images(folder))
        raise InputError(f"folder of {_PLURALS[role]} {folder!r} has no image (expected {kinds}){held}")
    return names


def beside_images(folder: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Count what a folder holds that `list_images` leaves out, but for hidden files and those of file managers.

    Parameters
    ----------
    folder
        The folder.

    Returns
    -------
    list of tuple of str
        Such as ``5 images in 1 subfolder (more)`` or ``2 files that may be images (1 .jpe, 1 without ending)``, and how
        they could be taken, nothing where they are no images. Empty if there is nothing else.

    Raises
    ------
    OSError
        If the folder cannot be read.
    """
    listed = (*EXTENSIONS, *_OTHER_PICTURES)
    with os.scandir(folder) as found:
        shown = (entry for entry in found if _is_shown(entry.name))
        entries = [entry for entry in shown if _is_folder(entry) or not entry.name.lower().endswith(listed)]
    inside = {entry.name: _count_images(entry.path) for entry in entries if _is_folder(entry)}
    subfolders = _natural_order(name for name, n in inside.items() if n)
    remarks = []
    if subfolders:
        n, names = sum(inside.values()), ", ".join(map(escape_undecodable, subfolders[:3]))
        more = f" and {len(subfolders) - 3} more" if len(subfolders) > 3 else ""
        text = f"{counted(n, 'image')} in {counted(len(subfolders), 'subfolder')} ({names}{more})"
        remarks.append((text, "name the subfolder, or use a table of images"))
    return remarks + _other_kinds([entry.name for entry in entries if not _is_folder(entry)])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links
        return False


def _other_kinds(names: Sequence[str]) -> list[tuple[str, str]]:
    """Count files by their ending: those that may be images, and others."""
    import PIL.Image

    pictures = {"", *(PIL.Image.registered_extensions() if names else ())}
    endings = [os.path.splitext(name)[1].lower() for name in names]
    remarks = []
    for kind, may_be in (("that may be images", True), ("of other kinds", False)):
        counts = Counter(ending for ending in endings if (ending in pictures) is may_be)
        if counts:
            each = ", ".join(
                f"{n} {escape_undecodable(ending) or 'without ending'}" for ending, n in sorted(counts.items())
            )
            way_out = "give them an ending that is read (" + ", ".join(e[1:] for e in EXTENSIONS) + ")"
            remarks.append((f"{counted(counts.total(), 'file')} {kind} ({each})", way_out if may_be else ""))
    return remarks


def _count_images(folder: str) -> int:
    """Images below a folder, hidden ones apart."""
    n = 0
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if _is_shown(name)]
        n += sum(name.lower().endswith(EXTENSIONS) and _is_shown(name) for name in files)
    return n


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in ("thumbs.db", "desktop.ini", "ehthumbs.db")


def image_file(file: str | os.PathLike[str]) -> ImageSource:
    """One image that somebody named by its file, which need not be there."""
    return _sources([os.path.abspath(file)], [{}], IMAGE)[0]


def read_image_table(table: str | os.PathLike[str]) -> list[ImageSource]:
    """Read a CSV table of images: column ``path``, optional ``role`` (default ``target``), any other columns.

    Commas, semicolons or tabs separate the columns; see `distspc.io.csv_tables.read_csv_table`. Paths are
    relative to the table, with slashes or backslashes. The order of rows is kept, targets first. A role may be
    singular or plural.

    Parameters
    ----------
    table
        The CSV file (UTF-8, with a header line).

    Returns
    -------
    list of ImageSource
        With the other columns (score, category, ...) as text in `columns`.

    Raises
    ------
    InputError
        If the table cannot be read, or a row names no file, an unknown role, or a file a second time.
    """
    table = Path(os.path.abspath(table))
    where = f"image table {table}"
    by_role: dict[str, list[tuple[str, dict[str, str]]]] = {role: [] for role in ROLES}
    seen: dict[str, int] = {}
    for line, row in _table_rows(table, where):
        path, role = row.pop("path").replace("\\", "/"), row.pop("role", "").lower() or "target"
        if not path:
            raise InputError(f"{where}, line {line}: no path; write the file of the image there, or remove the line")
        if role not in _ROLE_NAMES:
            raise InputError(f"{where}, line {line}: role {role!r} is not one of target, filler; write one of them")
        file = os.path.normpath(table.parent / path)
        if file in seen:
            raise InputError(f"{where}, line {line}: {file!r} is also on line {seen[file]}; keep one of them")
        seen[file] = line
        by_role[_ROLE_NAMES[role]].append((file, row))
    return [s for role, pairs in by_role.items() for s in _sources([p for p, _ in pairs], [r for _, r in pairs], role)]


def _table_rows(table: Path, where: str) -> list[tuple[int, dict[str, str]]]:
    """Lines and rows of an image table, without columns that have no name."""
    content = read_csv_table(table, what="image table")
    if "path" not in content.names:
        raise InputError(
            f"{where} has no column path; it has {', '.join(content.names)}. Call the one that names the files `path`"
        )
    if not content.rows:
        raise InputError(f"{where} has no rows: write one for each image")
    unnamed = [name for name in content.names if is_unnamed(name)]
    if unnamed:
        logger.info("%s: columns without a name are ignored: %d", where, len(unnamed))
    rows = (dict(zip(content.names, row, strict=True)) for row in content.rows)
    named = ({name: entry for name, entry in row.items() if name not in unnamed} for row in rows)
    return list(zip(content.lines, named, strict=True))


def inspect_image(source: ImageSource) -> ImageRecord:
    """Look at one image: its row of the image table, or why it has none.

    Parameters
    ----------
    source
        The image.

    Returns
    -------
    ImageRecord
    """
    nbytes, modified = file_signature(source.file)
    record = ImageRecord(
        image=escape_undecodable(source.id),
        role=source.role,
        number=source.number,
        file=escape_undecodable(source.file),
        category=category_of(source),
        nbytes=nbytes,
        modified=modified,
        reason=source.problem,
    )
    if source.problem is not None:
        return record
    try:
        data = read_file(source.file)
        picture = decode_picture(data)  # whole, to be sure that extraction will not stumble
    except BadImageError as error:
        return replace(record, reason=error.reason)
    height, width = picture.rgb.shape[:2]
    return replace(record, width=width, height=height, digest=digest_of(data), remarks=picture.remarks)


def digest_image(source: ImageSource) -> ImageRecord:
    """Read one image without decoding it: its row of the image table, with no sizes, or why it cannot be read."""
    nbytes, modified = file_signature(source.file)
    names = escape_undecodable(source.id), source.role, source.number, escape_undecodable(source.file)
    record = ImageRecord(*names, category_of(source), nbytes, modified)
    try:
        return replace(record, reason=source.problem, digest=digest_of(read_file(source.file)))
    except BadImageError as error:
        return replace(record, reason=error.reason)


def category_of(source: ImageSource) -> str:
    """Category of an image in the user's table; empty where there is none."""
    return source.columns.get("category", "").strip()


def file_signature(file: str) -> tuple[int, int]:
    """Size and time of change of a file, by which a second run knows it again without reading it.

    Parameters
    ----------
    file
        The file.

    Returns
    -------
    tuple of int
        Bytes and nanoseconds since the epoch; (-1, -1) if the file is not there or may not be read.
    """
    try:
        status = os.stat(file)
        readable = status.st_mode & _READABLE == _READABLE or os.access(file, os.R_OK)
        return (status.st_size, status.st_mtime_ns) if readable else (-1, -1)
    except (OSError, ValueError):
        return (-1, -1)


def file_signatures(files: Sequence[str]) -> list[tuple[int, int]]:
    """Signatures of many files, as `file_signature` gives them, in half of the time."""
    try:
        found = [(s.st_size, s.st_mtime_ns, s.st_mode & _READABLE) for s in map(os.stat, files)]
    except (OSError, ValueError):
        return list(map(file_signature, files))
    if all(readable == _READABLE for _, _, readable in found):
        return [(nbytes, modified) for nbytes, modified, _ in found]
    return list(map(file_signature, files))


def _natural_order(names: Iterable[str]) -> list[str]:
    names = list(names)
    numbers = _plain_numbers(names)
    if numbers is not None:  # a million of them in a tenth of the time
        return [names[i] for i in np.argsort(np.array(numbers, dtype=np.int64)).tolist()]
    import natsort

    return list(natsort.natsorted(sorted(names)))  # sorted first: names that natsort holds equal (1, 01) stay put


def _plain_numbers(names: Sequence[str]) -> list[int] | None:
    """Numbers that names such as ``12.jpg`` are, each another; None where any is not."""
    if not all(re.fullmatch(r"\.[A-Za-z]+", ending) for ending in {name[name.find(".") :] for name in names}):
        return None
    numbers = _as_numbers([name[: name.index(".")] for name in names])
    return numbers if numbers is not None and len(set(numbers)) == len(numbers) else None


def _as_numbers(texts: Sequence[str]) -> list[int] | None:
    """Texts of digits alone, at most 18 each, as numbers; None where any is another."""
    text = "".join(texts)
    whole = all(texts) and text.isascii() and text.isdigit() and max(map(len, texts)) <= 18
    return list(map(int, texts)) if whole else None


def _sources(paths: Sequence[str | Path], columns: Sequence[Mapping[str, str]], role: str) -> list[ImageSource]:
    """Give the files of one role, by absolute path, their names and numbers."""
    files = [os.fspath(path) for path in paths]
    stems = [_stem(file[file.rfind(os.sep) + 1 :]) for file in files]
    ids = [f"{_PLURALS[role]}/{name}" for name in unique_names(files, stems)]
    rows = zip(ids, repeat(role), _numbers(stems), files, columns, _name_problems(files), strict=False)
    return list(map(partial(tuple.__new__, ImageSource), rows))  # as `_make` does, in half of the time


def _stem(name: str) -> str:
    """What `Path.stem` gives, in a tenth of its time: there may be a million names."""
    at = name.rfind(".")
    return name[:at] if 0 < at < len(name) - 1 else name


def unique_names(files: Sequence[str], stems: Sequence[str]) -> list[str]:
    """Stems; file names where stems collide; whole paths where that is not enough."""
    if len(set(stems)) == len(stems):
        return list(stems)
    count = Counter(stems)
    names = [s if count[s] == 1 else os.path.basename(file) for s, file in zip(stems, files, strict=True)]
    if len(set(names)) < len(names):
        names = [os.path.basename(file) for file in files]
    return names if len(set(names)) == len(names) else [Path(file).as_posix() for file in files]


def _numbers(stems: Sequence[str]) -> list[int]:
    numbers = _as_numbers(stems)
    return numbers if numbers is not None and len(set(numbers)) == len(numbers) else list(range(1, len(stems) + 1))


def _name_problems(files: Sequence[str]) -> Iterable[str | None]:
    """What `_name_problem` says of every file; of a million plain names at once."""
    endings = {file[file.rfind(".") :] for file in files}
    plain = all(ending.lower() in EXTENSIONS for ending in endings) and "".join(files).isascii()
    return repeat(None) if plain else map(_name_problem, files)


def _name_problem(file: str) -> str | None:
    if not file.lower().endswith(EXTENSIONS):
        return (
            f"{escape_undecodable(Path(file).suffix[1:].lower()) or 'extensionless'} files are not read; save it as png"
        )
    if escape_undecodable(file) != file:
        return "its name is not valid UTF-8; rename it"
    return None


def escape_all(names: Sequence[str]) -> Sequence[str]:
    """Make many names storable, as `escape_undecodable` does."""
    return names if "".join(names).isascii() else list(map(escape_undecodable, names))


def escape_undecodable(name: str) -> str:
    """Make a name storable: bytes that are no UTF-8 become backslash escapes.

    Parameters
    ----------
    name
        A name as the operating system gave it.

    Returns
    -------
    str
    """
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode("utf-8")
