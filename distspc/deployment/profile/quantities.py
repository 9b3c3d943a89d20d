"""Memory and durations as profiles write them: the text, and what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

MIN_MEMORY_NBYTES = 2**28
MAX_MEMORY_NBYTES = 2**46

_UNITS = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_CLOCK = re.compile(r"(?:(?P<d>\d+)-)?(?P<h>\d+):(?P<min>\d\d):(?P<s>\d\d)")
_SPAN = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|m|min|h|d)")
_SPANS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}

WalltimeForm = Literal["d-h:m:s", "h:m:s", "h:m"]
_HMS = 'hours:minutes:seconds in quotes, such as "01:30:00"'
WALLTIME_FORMS: dict[WalltimeForm, tuple[re.Pattern[str], str]] = {
    "d-h:m:s": (_CLOCK, f'{_HMS}, or days-hours:minutes:seconds, such as "2-00:00:00"'),
    "h:m:s": (re.compile(r"(?P<h>\d+):(?P<min>\d\d):(?P<s>\d\d)"), _HMS),
    "h:m": (re.compile(r"(?P<h>\d+):(?P<min>\d\d)"), 'hours:minutes in quotes for LSF, such as "04:00"'),
}
"""How queues write walltimes, with what a message expects."""


@dataclass(frozen=True)
class Memory:
    """Memory of a worker or job: as it was written, and in bytes."""

    text: str
    nbytes: int

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, value: Any) -> Memory:
        """Read a memory that a worker can have.

        Raises
        ------
        ValueError
            If it has no binary unit, or is less than 0.25 GiB or more than 64 TiB.
        """
        if isinstance(value, cls):
            return value
        nbytes = memory_nbytes(value)
        if not MIN_MEMORY_NBYTES <= nbytes <= MAX_MEMORY_NBYTES:
            raise ValueError("expected between 0.25 GiB and 64 TiB")
        return cls(value, nbytes)


@dataclass(frozen=True)
class Duration:
    """A walltime or an age: as it was written, and in seconds."""

    text: str
    seconds: int

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, value: Any) -> Duration:
        """Read a walltime (``01:30:00``) or a span (``55m``).

        Raises
        ------
        ValueError
            If it is neither, or zero.
        """
        return value if isinstance(value, cls) else cls(str(value), seconds(value))


def memory_nbytes(value: Any) -> int:
    """Bytes of a text such as ``8 GiB``.

    Raises
    ------
    ValueError
        If it has no binary unit: SLURM and Dask read GB differently, so GB is refused.

    Examples
    --------
    >>> memory_nbytes("1.5 GiB")
    1610612736
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MiB|GiB|TiB)", str(value).strip())
    if match is None or not isinstance(value, str):
        raise ValueError("expected a number with the unit MiB, GiB or TiB, such as `8 GiB`")
    return int(float(match[1]) * _UNITS[match[2]])


def seconds(value: Any) -> int:
    """Seconds of a walltime (``01:30:00``, ``2-00:00:00``) or a span (``55m``).

    Raises
    ------
    ValueError
        If it is neither, or zero. Two numbers (``01:30``) are minutes to SLURM, hours to LSF: `walltime_seconds`.

    Examples
    --------
    >>> seconds("1-02:00:00"), seconds("55m")
    (93600, 3300)
    """
    text = str(value).strip()
    span = _SPAN.fullmatch(text)
    total = int(float(span["number"]) * _SPANS[span["unit"]]) if span else _clock_seconds(_CLOCK, text)
    if total <= 0:
        raise ValueError('expected hours:minutes:seconds in quotes, such as "01:30:00", or a span such as 55m')
    return total


def walltime_seconds(value: Any, *, form: WalltimeForm) -> int:
    """Seconds of a walltime, as a queue reads it.

    Parameters
    ----------
    value
        What a profile says.
    form
        A key of `WALLTIME_FORMS`.

    Raises
    ------
    ValueError
        If it is written in another way, or zero.

    Examples
    --------
    >>> walltime_seconds("04:00:00", form="h:m:s"), walltime_seconds("04:00", form="h:m")
    (14400, 14400)
    """
    pattern, expected = WALLTIME_FORMS[form]
    total = _clock_seconds(pattern, str(value).strip())
    if not total:
        raise ValueError(f"expected {expected}")
    return total


def _clock_seconds(pattern: re.Pattern[str], text: str) -> int:
    """Sum of the parts of a time, named by their unit; 0 if it is written in another way."""
    clock = pattern.fullmatch(text)
    return sum(int(part or 0) * _SPANS[unit] for unit, part in clock.groupdict().items()) if clock else 0
