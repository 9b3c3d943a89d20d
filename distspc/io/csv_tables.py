"""Tables that somebody made, read as text: commas, semicolons or tabs, an index column, commas at the end of lines."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from distspc.errors import InputError
from distspc.io.files import hex_digest, irregularity, os_reason
from distspc.messages import counted, shorten

_DELIMITERS = "\t;,"
_UNNAMED = re.compile(r"(Unnamed: \d+(_level_\d+)?)?")
_INDEX_NAMES = {"", "index", "idx", "row", "rownames", "row_names", "row_number", "level_0", "x", "x1", "...1", "v1"}
LONGEST_NAME = 80
"""Characters of a file's name that is made of a column's."""

_Rows = list[tuple[int, list[str]]]


class CsvTable(NamedTuple):
    """A table as text, entries without blanks around them."""

    names: list[str]
    lines: list[int]
    """Line of the file of each row."""
    rows: list[list[str]]
    delimiter: str

    def column(self, name: str) -> list[str]:
        """Entries of one column."""
        at = self.names.index(name)
        return [row[at] for row in self.rows]


def read_csv_table(path: str | Path, *, what: str) -> CsvTable:
    """Read a delimited table: a header, then rows; empty rows are left out.

    Commas, semicolons or tabs separate the columns. Empty entries at the end of a line that no column of the header
    belongs to are left out, and a header without the name of its first column, as R writes it, gets an empty one.

    Parameters
    ----------
    path
        The file, in UTF-8.
    what
        What the table is, in messages.

    Raises
    ------
    InputError
        If there is no such file, it is no text table, a row has too many or too few entries, or two columns have one
        name.
    """
    text, where = _read_text(Path(path), what), f"{what} {path}"
    delimiter, rows = _split(text, where)
    if not rows:
        raise InputError(f"{where} is not a table: it is empty")
    names, rows = _trimmed(rows[0][1], rows[1:])
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InputError(f"{where}: more than one column is called {shorten(twice)}")
    odd = [f"line {line} has {len(row)}" for line, row in rows if len(row) != len(names)]
    if odd:
        raise InputError(f"{where}: the header has {counted(len(names), 'column')}, but {shorten(odd)}")
    names = [name or ("" if "" not in names[:i] else f"Unnamed: {i}") for i, name in enumerate(names)]
    return CsvTable(names, [line for line, _ in rows], [row for _, row in rows], delimiter)


def _read_text(path: Path, what: str) -> str:
    try:
        reason = irregularity(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{what} {path}: there is no such file") from None
    except (OSError, ValueError) as error:
        reason = os_reason(error)
    if reason:
        raise InputError(f"{what} {path}: it {reason}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{what} {path} is not a table of comma-separated values in UTF-8: {error}. Save it as CSV in UTF-8"
        ) from error


def _split(text: str, where: str) -> tuple[str, _Rows]:
    """Rows by the delimiter that is most frequent in the header, of those by which all rows have its length."""
    header = re.sub(r'"[^"]*"', "", text.lstrip().partition("\n")[0])
    frequent = sorted(_DELIMITERS, key=header.count, reverse=True)
    tried: dict[str, _Rows] = {}
    problem: Exception | None = None
    for delimiter in [delimiter for delimiter in frequent if header.count(delimiter)] or [","]:
        try:
            tried[delimiter] = _parse(text, delimiter)
        except csv.Error as error:
            problem = problem or error
    if not tried:
        raise InputError(f"{where} is not a table of comma-separated values in UTF-8: {problem}") from problem
    fitting = [pair for pair in tried.items() if len({len(row) for _, row in pair[1]}) == 1]
    return (fitting or list(tried.items()))[0]


def _parse(text: str, delimiter: str) -> _Rows:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = [(reader.line_num, [entry.strip() for entry in row]) for row in reader]
    return [(line, row) for line, row in rows if any(row)]


def _trimmed(names: list[str], rows: _Rows) -> tuple[list[str], _Rows]:
    """Header and rows without what commas at the end of lines leave, and with a name for R's column of row names."""
    width = max((i + 1 for i, name in enumerate(names) if name), default=0)
    used = max((i + 1 for _, row in rows for i, entry in enumerate(row) if entry), default=0)
    names = names[: max(width, min(used, len(names)))]
    rows = [(line, _fitted(row, len(names))) for line, row in rows]
    if rows and all(len(row) == len(names) + 1 for _, row in rows) and _counts([row[0] for _, row in rows]):
        names = ["", *names]
    return names, rows


def _fitted(row: list[str], width: int) -> list[str]:
    """A row without empty entries beyond the header."""
    while len(row) > width and not row[-1]:
        row = row[:-1]
    return row


# ---------------------------------------------------------------------------------------------- columns


def is_unnamed(name: str) -> bool:
    """Whether a column has no name of its own: an empty one, or pandas' ``Unnamed: 0``."""
    return _UNNAMED.fullmatch(name) is not None


def is_index(name: str, entries: Sequence[str], *, first: bool = False) -> bool:
    """Whether a column is the index that pandas or R wrote: without a name, or the row numbers in the first column.

    Row numbers, from 0 or from 1, in another column are an index if the column is called so.

    Examples
    --------
    >>> is_index("Unnamed: 0", ["7", "9"]), is_index("index", ["0", "1"]), is_index("rank", ["1", "2"])
    (True, True, False)
    """
    return is_unnamed(name) or ((first or name.lower() in _INDEX_NAMES) and _counts(entries))


def _counts(entries: Sequence[str]) -> bool:
    """Whether entries are 0, 1, 2, ... or 1, 2, 3, ..."""
    if not entries or not all(entry.isascii() and entry.isdigit() for entry in entries):
        return False
    numbers = [int(entry) for entry in entries]
    return numbers[0] in (0, 1) and len(numbers) > 1 and all(b == a + 1 for a, b in pairwise(numbers))


def safe_names(names: Sequence[str]) -> dict[str, str]:
    """File names made of columns' names: letters, digits, ``-`` and ``_``, at most 80 characters, no two alike.

    A name that had to be changed, or that differs from another in case alone, ends with a short digest.

    Examples
    --------
    >>> safe_names(["hit", "RT<500"])
    {'hit': 'hit', 'RT<500': 'RT_500-886a0293'}
    """
    alike = Counter(_folded(name) for name in names)
    return {name: name if _is_safe(name) and alike[_folded(name)] == 1 else _digested(name) for name in names}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _is_safe(name: str) -> bool:
    return len(name) <= LONGEST_NAME and re.fullmatch(r"[A-Za-z0-9_-]+", name) is not None


def _digested(name: str) -> str:
    digest = hex_digest(name.encode("utf-8", "surrogatepass"))[:8]
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)[: LONGEST_NAME - 9]}-{digest}"
