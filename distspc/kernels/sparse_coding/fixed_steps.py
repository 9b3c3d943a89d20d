"""Codes of rows that were not there when a code was stopped: as many steps as that took, each row on its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from distspc.kernels.sparse_coding.iteration import PAPER, Iteration, Rule
from distspc.kernels.threads import single_threaded_blas

PART_ROWS = 256


def rule_of_step(rule: Rule, step: float) -> Rule:
    """The rule of a code that was made with a step of this length, which it may have been shortened to."""
    return rule if step == rule.step else replace(rule.shortened(step / rule.step), shorten=False)


def error_after_steps(
    x: np.ndarray,
    dictionary: np.ndarray,
    *,
    mean: np.floating,
    n_steps: int,
    step: float,
    rule: Rule = PAPER,
    precision: str = "float64",
    part_rows: int = PART_ROWS,
) -> np.ndarray:
    """Reconstruction error of rows after a number of steps that does not depend on them.

    With the mean, the steps and the step length of a code of many rows (`training.encode`), a row of these has the
    error that it had among them; another has the error that it would have had, had it not moved mean and stop.

    Parameters
    ----------
    x
        Scaled units (rows, units), float32.
    dictionary
        Phi (units, codewords), taken as it is.
    mean
        What is taken off all units, of the type of `x`.
    n_steps, step
        Steps of the code, and their length.
    rule
        Constants before the step was shortened.
    precision
        Type of the arithmetic.
    part_rows
        Rows that go through the products together.

    Returns
    -------
    ndarray (rows,), float64
        Mean over units of the squared residual of the code before its last step, as the method takes it.
    """
    dtype = np.dtype(precision)
    phi = np.ascontiguousarray(dictionary, dtype)

    def inputs(rows: slice) -> np.ndarray:
        return np.asarray(x[rows] - mean, dtype)

    iteration = Iteration.of(inputs, phi, replace(rule_of_step(rule, step), shorten=False))
    error = np.empty(len(x))
    with single_threaded_blas():
        for start in range(0, len(x), part_rows):
            rows = slice(start, min(start + part_rows, len(x)))
            residual = inputs(rows) - _code(iteration, rows, n_steps - 1) @ phi.T
            error[rows] = np.einsum("ru,ru->r", residual, residual) / residual.shape[1]
    return error


def _code(iteration: Iteration, rows: slice, n_steps: int) -> np.ndarray:
    """Code of some rows after some steps from zero."""
    drive = np.empty((rows.stop - rows.start, len(iteration.gram)), iteration.dictionary.dtype)
    code, after = np.zeros_like(drive), np.empty_like(drive)
    iteration.drive(rows, drive)
    for i in range(n_steps):
        if i == 0:
            iteration.first_step(drive, after)
        else:
            iteration.step(code, drive, after)
        code, after = after, code
    return code
