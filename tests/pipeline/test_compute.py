"""Tasks in this process: results in order, progress, and refusals that stop their part alone."""

import dask
import pytest

from distspc.errors import InputError
from distspc.pipeline.compute import compute, compute_parts, run_on_all_workers, task_memory
from distspc.tasks import refusals_as_values, task


def double(x):
    return 2 * x


def refuse(x):
    raise InputError(f"{x} cannot be used")


def test_results_come_in_order_where_they_are_asked_for():
    tasks = [dask.delayed(double)(i) for i in range(5)]
    assert compute(tasks, None, label="twice", gather=True) == [0, 2, 4, 6, 8]
    assert compute(tasks, None, label="twice") == []


def test_progress_is_told_from_none_to_all():
    told = []
    compute([dask.delayed(double)(i) for i in range(3)], None, label="twice", progress=lambda *a: told.append(a))
    assert told[0] == ("twice", 0, 3)
    assert told[-1] == ("twice", 3, 3)
    assert [n for _, n, _ in told] == sorted(n for _, n, _ in told)


def test_a_refusal_stops_its_part_alone():
    with refusals_as_values():
        parts = {"good": [task(double)(1), task(double)(2)], "bad": [task(refuse)(7)]}
    refused = compute_parts(parts, None, label="parts")
    assert list(refused) == ["bad"]
    assert str(refused["bad"]) == "7 cannot be used"


def test_a_refusal_is_raised_where_there_are_no_parts():
    with refusals_as_values():
        tasks = [task(double)(1), task(refuse)(7)]
    with pytest.raises(InputError, match="7 cannot be used"):
        compute(tasks, None, label="all", gather=True)


def test_without_a_client_this_process_is_the_worker():
    called = []
    run_on_all_workers(lambda: called.append(1), None)
    assert called == [1]
    assert task_memory(None) is None
