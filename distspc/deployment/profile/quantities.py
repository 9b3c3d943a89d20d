"""Memory and durations as profiles write them: the text, and what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MIN_MEMORY_NBYTES = 2**28
MAX_MEMORY_NBYTES = 2**46

_UNITS = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")
_SPAN = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|m|min|h|d)")
_SPANS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


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
        If it is neither, or zero. Two numbers (``01:30``) are minutes to SLURM and hours to LSF: see `lsf_seconds`.

    Examples
    --------
    >>> seconds("1-02:00:00"), seconds("55m")
    (93600, 3300)
    """
    text = str(value).strip()
    span, clock = _SPAN.fullmatch(text), _CLOCK.fullmatch(text)
    total = 0
    if span:
        total = int(float(span["number"]) * _SPANS[span["unit"]])
    elif clock:
        days, hours, minutes, rest = (int(part or 0) for part in clock.groups())
        total = 86400 * days + 3600 * hours + 60 * minutes + rest
    if total <= 0:
        raise ValueError('expected hours:minutes:seconds in quotes, such as "01:30:00", or a span such as 55m')
    return total


def walltime_seconds(value: Any, *, days: bool = True) -> int:
    """Seconds of a walltime, hours, minutes and seconds; `days` where the queue reads ``2-00:00:00``.

    Raises
    ------
    ValueError
        If it is written in another way, or zero.

    Examples
    --------
    >>> walltime_seconds("04:00:00")
    14400
    """
    clock = _CLOCK.fullmatch(str(value).strip())
    if clock is None or (clock[1] and not days):
        also = ', or days-hours:minutes:seconds, such as "2-00:00:00"' if days else ""
        raise ValueError(f'expected hours:minutes:seconds in quotes, such as "01:30:00"{also}')
    return seconds(value)


def lsf_seconds(value: Any) -> int:
    """Seconds of LSF's walltime, hours and minutes.

    Raises
    ------
    ValueError
        If it is written in another way, or zero.

    Examples
    --------
    >>> lsf_seconds("04:00")
    14400
    """
    clock = re.fullmatch(r"(\d+):(\d\d)", str(value).strip())
    if clock is None or not (total := 3600 * int(clock[1]) + 60 * int(clock[2])):
        raise ValueError('expected hours:minutes in quotes for LSF, such as "04:00"')
    return total
