"""Files that a study makes beside its results, by the names it gives them; files of other names are not its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from distspc.store.group import file_nbytes
from distspc.store.replacement import earlier_store, staged_store
from distspc.store.store import Store
from distspc.study.file import STAGES


class Leftover(NamedTuple):
    """Files of one kind that may go together, and folders of the study's own that go where they are empty then."""

    name: str
    files: tuple[Path, ...]
    folders: tuple[Path, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the files."""
        return sum(map(file_nbytes, self.files))


_HEX = "[0-9a-f]"
_UNITS_FOLDER = re.compile(rf"(.+-{_HEX}{{8}}|spilled-\w+)")
_UNITS_FILE = re.compile(rf"(\d{{9}}-\d{{9}}\.npy|{_HEX}{{32}}\.npy|\..+\.{_HEX}{{32}}\.partial)")
_FIGURES = ("correlation_", "scatter_", "distribution_", "measures", "training", "reliability", "most_", "least_",
            "hardest_", "easiest_")  # fmt: skip
_TABLES = ("measures.csv", "relations.csv", "models.csv", "comparisons.csv")


def units(store: Path) -> list[Leftover]:
    """Units that a stopped reconstruction has gathered, chunks that killed writers have not finished, begun updates.

    Parameters
    ----------
    store
        Path of the store.
    """
    found = []
    for folder in _folders(Path(f"{store}.units"), _UNITS_FOLDER):
        name = f"{folder.parent.name}/{folder.name}"
        found.append(Leftover(name, _files(folder, _UNITS_FILE), (folder, folder.parent)))
    partial = [Path(at, name) for at, _, names in os.walk(store) for name in names if name.endswith(".partial")]
    found.append(Leftover("unfinished chunks", tuple(sorted(partial))))
    found += [_whole(begun(Store(store)).path) for begun in (staged_store, earlier_store)]
    return [one for one in found if one.files]


def _whole(store: Path) -> Leftover:
    """A store that an update has begun to make, which the next one goes on with."""
    if store.is_symlink() or not Store(store).exists():
        return Leftover(store.name, ())
    walked = list(os.walk(store, topdown=False))
    files = [Path(at, name) for at, _, names in walked for name in names]
    return Leftover(f"{store.name} (an update that was begun)", tuple(files), tuple(Path(at) for at, _, _ in walked))


def logs(folder: Path, names: Iterable[str]) -> list[Leftover]:
    """Logs of the jobs of a study.

    Parameters
    ----------
    folder
        Folder of the logs, which may hold those of other studies.
    names
        Names that runs of the study go by.
    """
    stages = "|".join(STAGES)
    beginning = "|".join(re.escape(name) for name in dict.fromkeys(names))
    pattern = re.compile(rf"({beginning})(-({stages}))?(-\d[\w.\[\]-]*\.(out|err)|\.[oe]\d[\w.\[\]-]*)")
    files = _files(folder, pattern)
    return [Leftover(folder.name, files, (folder,))] if files else []


def old_reports(page: Path, *, current: bool) -> list[Leftover]:
    """The page where it is out of date, and figures and tables that no page beside it has a link to.

    Parameters
    ----------
    page
        The report of a study.
    current
        Whether it shows what the store holds now.
    """
    pages = [file for file in _files(page.parent, re.compile(r".+\.html?")) if current or file != page]
    old = () if current or not page.is_file() or page.is_symlink() else (page,)
    partial = _files(page.parent, re.compile(rf"\.{re.escape(page.name)}\.{_HEX}{{32}}\.partial"))
    if not (page.is_file() or partial):
        return []
    linked = {link for file in pages for link in _links(file)}
    figures = re.compile(rf"({'|'.join(_FIGURES)}).*\.(png|svg)")
    tables = re.compile("|".join(map(re.escape, _TABLES)))
    beside = [*_files(page.parent / "figures", figures), *_files(page.parent / "tables", tables)]
    unlinked = [file for file in beside if f"{file.parent.name}/{file.name}" not in linked]
    found = [Leftover(page.name, (*old, *partial)), Leftover("figures and tables", tuple(unlinked))]
    return [one for one in found if one.files]


def remove(leftovers: Sequence[Leftover]) -> int:
    """Delete files, and their folders where these are empty then; returns the bytes."""
    nbytes = sum(one.nbytes for one in leftovers)
    for file in (file for one in leftovers for file in one.files):
        file.unlink(missing_ok=True)
    for folder in (folder for one in leftovers for folder in one.folders):
        with suppress(OSError):  # something else is in it
            folder.rmdir()
    return nbytes


def _folders(parent: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    """Folders of some name, not links to such."""
    if parent.is_dir() and not parent.is_symlink():
        yield from sorted(path for path in parent.iterdir() if _is_own(path, pattern) and path.is_dir())


def _files(folder: Path, pattern: re.Pattern[str]) -> tuple[Path, ...]:
    """Files of some name in a folder, not links to such."""
    if not folder.is_dir() or folder.is_symlink():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if _is_own(path, pattern) and path.is_file()))


def _is_own(path: Path, pattern: re.Pattern[str]) -> bool:
    return pattern.fullmatch(path.name) is not None and not path.is_symlink()


def _links(page: Path) -> set[str]:
    """Figures and tables that a page has links to."""
    text = page.read_text(encoding="utf-8", errors="replace")
    return set(re.findall(r'href="((?:figures|tables)/[^"]+)"', text))
