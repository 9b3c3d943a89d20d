import numpy as np
import pytest

from distspc.selection.matching.program import Program
from distspc.selection.options import Effort


def knapsack() -> tuple[Program, np.ndarray]:
    program = Program()
    x = program.variables(3, upper=1, integer=True)
    program.row(x, [2.0, 3.0, 4.0], 0, 5)
    program.cost(x, [-3.0, -4.0, -5.5])
    return program, x


def test_finds_the_best_of_a_knapsack():
    program, x = knapsack()
    solution = program.solve(Effort(gap=0))
    assert solution.optimal
    np.testing.assert_allclose(solution.values[x], [1, 1, 0], atol=1e-9)


def test_relaxed_takes_parts_and_gains_at_least_as_much():
    program, x = knapsack()
    relaxed = program.solve(Effort(), relaxed=True)
    assert np.array([3.0, 4.0, 5.5]) @ relaxed.values[x] == pytest.approx(7.125)


def test_fixed_variables_stay():
    program, x = knapsack()
    program.fix(x[2:], 1)
    np.testing.assert_allclose(program.solve(Effort(gap=0)).values[x], [0, 0, 1], atol=1e-9)


def test_what_cannot_be_is_proven_infeasible():
    program, x = knapsack()
    program.row(x, 1, 4, np.inf)
    solution = program.solve(Effort())
    assert solution.values is None
    assert solution.infeasible
