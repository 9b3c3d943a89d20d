"""Memory and durations as profiles write them."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")
_SPAN = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|m|min|h|d)")
_SPANS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


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
        raise ValueError("memory is a number with the unit MiB, GiB or TiB, such as `8 GiB`")
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
        raise ValueError('a time is hours:minutes:seconds in quotes, such as "01:30:00", or a span such as 55m')
    return total


def walltime_seconds(value: Any, *, days: bool = True) -> int:
    """Seconds of a walltime, hours, minutes and seconds; `days` where the queue reads ``2-00:00:00``.

    Examples
    --------
    >>> walltime_seconds("04:00:00")
    14400
    """
    clock = _CLOCK.fullmatch(str(value).strip())
    if clock is None or (clock[1] and not days):
        also = ', or days-hours:minutes:seconds, such as "2-00:00:00"' if days else ""
        raise ValueError(f'a walltime is hours:minutes:seconds in quotes, such as "01:30:00"{also}')
    return seconds(value)


def lsf_seconds(value: Any) -> int:
    """Seconds of LSF's walltime, hours and minutes.

    Examples
    --------
    >>> lsf_seconds("04:00")
    14400
    """
    clock = re.fullmatch(r"(\d+):(\d\d)", str(value).strip())
    if clock is None or not (total := 3600 * int(clock[1]) + 60 * int(clock[2])):
        raise ValueError('LSF takes hours:minutes in quotes, such as "04:00"')
    return total
