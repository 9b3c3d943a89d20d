"""Work cut into ranges, names of tasks, and refusals that travel as values."""

import errno
import os
import subprocess
import sys

import dask
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distspc.errors import DISK_ERRORS, InputError
from distspc.tasks import Refusal, SpareMemory, free_spare_memory, ranges, refusals_as_values, task, task_key


@given(st.integers(0, 500), st.integers(1, 60))
def test_ranges_cover_everything_once(n, size):
    covered = [i for start, stop in ranges(n, size) for i in range(start, stop)]
    assert covered == list(range(n))


def test_the_dashboard_groups_tasks_by_what_stands_before_the_first_hyphen():
    assert task_key("distances", "fc2", "1a2b", 3, 12) == "distances:fc2-1a2b-0003-0012"
    assert task_key("extract", "", "1a2b", 0).split("-")[0] == "extract"


def refuse(value):
    raise InputError(f"{value} cannot be used")


def passed_on(values):
    return len(values)


def test_a_task_refuses_by_raising():
    with pytest.raises(InputError, match="7 cannot be used"):
        dask.compute(task(refuse)(7), scheduler="synchronous")


def test_inside_the_block_a_refusal_is_a_value_and_what_rests_on_it_refuses_too():
    with refusals_as_values():
        first = task(refuse)(7)
        second = task(passed_on)([first, 1])
    (found,) = dask.compute(second, scheduler="synchronous")
    assert isinstance(found, Refusal)
    assert str(found.error) == "7 cannot be used"
    assert found.error.__traceback__ is None


def meet_the_disk(number):
    raise OSError(number, os.strerror(number), "/place")


@pytest.mark.parametrize("number", DISK_ERRORS)
def test_a_disk_that_takes_no_more_is_a_value_too(number):
    with refusals_as_values():
        (found,) = dask.compute(task(meet_the_disk)(number), scheduler="synchronous")
    assert found.ends_all
    assert (found.error.errno, found.error.filename) == (number, "/place")
    assert not Refusal(InputError("x")).ends_all
    with refusals_as_values(), pytest.raises(PermissionError):
        dask.compute(task(meet_the_disk)(errno.EACCES), scheduler="synchronous")


def test_other_errors_are_raised_inside_the_block_as_well():
    with refusals_as_values():
        broken = task(passed_on)(5)
    with pytest.raises(TypeError):
        dask.compute(broken, scheduler="synchronous")


def test_spare_memory_serves_the_next_task_until_all_is_freed():
    one, other = SpareMemory(), SpareMemory()
    one.keep("rows")
    other.keep("codes")
    assert one.take() == "rows"
    assert one.take() is None
    one.keep("rows")
    free_spare_memory()
    assert one.take() is None
    assert other.take() is None


KEPT = """
from pathlib import Path
from distspc.tasks import free_spare_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

rows = [bytearray(2**20) for _ in range(100)]
above = bytearray(2**20)
rows.clear()
before = resident()
free_spare_memory()
print(before - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc keeps memory on Linux")
def test_what_the_allocator_keeps_is_given_back_too():
    kept = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28), "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KEPT], env=os.environ | kept, stdout=subprocess.PIPE, text=True, check=True
    )
    assert int(done.stdout) > 90 * 2**20
