"""Memory and durations, read as they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distspc.deployment.profile.quantities import (
    Duration,
    Memory,
    memory_nbytes,
    seconds,
    walltime_seconds,
)
from distspc.deployment.profile.queues import job_memory_mib


@given(st.floats(0.25, 1000), st.sampled_from(["MiB", "GiB"]))
def test_memory_reads_back(number, unit):
    nbytes = memory_nbytes(f"{number:.3f} {unit}")
    assert abs(nbytes / {"MiB": 2**20, "GiB": 2**30}[unit] - number) <= 1e-3
    assert job_memory_mib(nbytes) * 2**20 >= nbytes + 2**29


@given(st.integers(0, 9), st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_walltimes_read_back(days, hours, minutes, rest):
    total = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if total:
        assert seconds(f"{days}-{hours:02d}:{minutes:02d}:{rest:02d}") == total
    if hours or minutes:
        assert walltime_seconds(f"{hours:02d}:{minutes:02d}", form="h:m") == 3600 * hours + 60 * minutes


@pytest.mark.parametrize("value", ["8 GB", "8", 8, None, "lots", "-4 GiB", "8 gib", "1e3 MiB"])
def test_memory_without_a_binary_unit_is_refused(value):
    with pytest.raises(ValueError, match="expected a number with the unit MiB, GiB or TiB"):
        memory_nbytes(value)


def test_memory_keeps_its_text_and_is_bounded():
    memory = Memory.parse("1.5 GiB")
    assert (str(memory), memory.nbytes) == ("1.5 GiB", 3 * 2**29)
    assert Memory.parse(memory) is memory
    for value in ("0 GiB", "0.2 GiB", "65 TiB"):
        with pytest.raises(ValueError, match=r"expected between 0\.25 GiB and 64 TiB"):
            Memory.parse(value)


def test_a_duration_keeps_its_text():
    assert Duration.parse("55m") == Duration("55m", 3300)
    assert str(Duration.parse("01:00:00")) == "01:00:00"
    assert Duration.parse(Duration("1h", 3600)).seconds == 3600


@pytest.mark.parametrize("value", ["soon", "01:30", "00:00:00", "0s", 5, None, "1 week"])
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValueError, match="expected hours:minutes:seconds"):
        seconds(value)


def test_walltimes_are_read_as_the_queue_reads_them():
    assert walltime_seconds("2-00:00:00", form="d-h:m:s") == 172_800
    assert walltime_seconds("04:00:00", form="h:m:s") == walltime_seconds("04:00", form="h:m") == 14_400
    for value in ("2-00:00:00", "55m", "04:00", "00:00:00"):
        with pytest.raises(ValueError, match="expected hours:minutes:seconds"):
            walltime_seconds(value, form="h:m:s")
    for value in ("04:00:00", "55m", "00:00"):
        with pytest.raises(ValueError, match="expected hours:minutes in quotes for LSF"):
            walltime_seconds(value, form="h:m")
