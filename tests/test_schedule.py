"""How long tasks take on workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distspc.schedule import Step, Workers, longest_chain, makespan, work

steps = st.builds(Step, st.integers(0, 20), st.floats(0.01, 100))


@given(chains=st.lists(st.lists(steps, max_size=4), min_size=1, max_size=5), n_workers=st.integers(1, 50))
def test_makespan_is_between_its_bounds(chains, n_workers):
    chains = [[step for step in chain if step.n_tasks] for chain in chains]
    found, share = makespan(chains, n_workers), work(chains) / n_workers
    assert found >= max(share, longest_chain(chains)) * (1 - 1e-9)
    assert found <= (share + longest_chain(chains)) * (1 + 1e-9)


def test_tasks_go_to_the_first_free_worker():
    assert makespan([[Step(3, 1.0)]], 2) == 2.0
    assert makespan([[Step(4, 1.0)], [Step(1, 5.0)]], 2) == 5.0
    assert makespan([[Step(2, 1.0)]], 100) == 1.0
    assert makespan([], 3) == 0.0


def test_a_step_waits_for_all_of_the_one_before():
    assert makespan([[Step(3, 1.0), Step(1, 4.0)]], 2) == 6.0


def test_the_longest_way_to_the_end_goes_first():
    # The short task that a long one waits for, before the others.
    assert makespan([[Step(6, 1.0)], [Step(1, 1.0), Step(1, 3.0)]], 2) == 5.0


def test_one_worker_takes_the_work():
    chains = [[Step(3, 2.0), Step(1, 1.0)], [Step(2, 0.5)]]
    assert makespan(chains, 1) == pytest.approx(work(chains)) == 8.0
    assert Workers() == Workers(1, 1, None)
