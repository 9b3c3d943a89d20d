"""Lists, counts, sizes, times and near misses in words.

Sizes and times are our own: Dask's `format_bytes` and `format_time` write more digits than an estimate has.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence


def shorten(names: Iterable[object], *, most: int = 5) -> str:
    """Return the first few names and how many more there are."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def counted(n: int, noun: str, verb: str = "", *, of: int | None = None) -> str:
    """A number and its noun, with the verb that follows and of how many, where given: all singular only for 1.

    The plural is that of the word before ``of``, ``with`` or ``in``, or of the last; a verb's first word changes.

    >>> counted(1, "row of scores", "names no target"), counted(1200, "batch")
    ('1 row of scores names no target', '1,200 batches')
    >>> counted(1, "image", "has", of=31), counted(2, "image", "has", of=31)
    ('1 of 31 images has', '2 of 31 images have')
    """
    if (n if of is None else of) != 1:
        noun = re.sub(r"^.+?(?=$| of | with | in )", lambda match: _plural(match[0]), noun)
    if n != 1:
        verb = re.sub(r"^\w+", lambda match: _PLURAL_VERBS.get(match[0], match[0].removesuffix("s")), verb)
    return " ".join(filter(None, (f"{n:,}" if of is None else f"{n:,} of {of:,}", noun, verb)))


_PLURAL_VERBS = {"is": "are", "was": "were", "has": "have", "does": "do"}


def _plural(noun: str) -> str:
    if re.search("[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def format_nbytes(nbytes: float) -> str:
    """Bytes in words, in binary units.

    >>> format_nbytes(3 * 2**30)
    '3.0 GiB'
    """
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(nbytes) >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes:.0f} B"


def format_duration(seconds: float) -> str:
    """Seconds in words.

    >>> format_duration(5), format_duration(192), format_duration(7500)
    ('5 s', '3 min 12 s', '2 h 5 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def unknown_key(key: str, allowed: Sequence[str]) -> str:
    """Say that a key is unknown, which one may be meant and which are allowed."""
    return f"{key}: unknown key; {did_you_mean(key.rpartition('.')[2], allowed)}allowed are {', '.join(allowed)}"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Ask whether the nearest of some names is meant, with a blank at the end; empty where none is near.

    >>> did_you_mean("slrum", ["slurm", "pbs"])
    "did you mean 'slurm'? "
    """
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean {close[0]!r}? " if close else ""
