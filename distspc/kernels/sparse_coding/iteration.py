"""One step of the inner loop: its constants, and how it is computed without a residual."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from distspc.kernels.sparse_coding.stability import stable_share

Inputs = Callable[[slice], np.ndarray]


@dataclass(frozen=True)
class Rule:
    """Constants of the inner loop: threshold, step length, tolerance (eps), and the largest number of steps.

    The method counts steps from 0 and gives up when the count is 998: that is 999 steps.
    """

    sparsity: float = 1e-3
    step: float = 1e-2
    tolerance: float = 1e-2
    max_steps: int = 999
    floor: float | None = None
    """The eps that is added to the norm of the code; the tolerance, if None."""
    shorten: bool = False
    """Whether a dictionary for which the step is not stable gets a shorter one (`stability`)."""

    @property
    def eps(self) -> float:
        """What is added to the norm of the code."""
        return self.tolerance if self.floor is None else self.floor

    def shortened(self, share: float) -> Rule:
        """The rule of a step that is `share` as long: same fixed points, same meaning of the stop (`stability`)."""
        return replace(
            self,
            sparsity=share * self.sparsity,
            step=share * self.step,
            tolerance=share * self.tolerance,
            max_steps=math.ceil(self.max_steps / share),
            floor=self.eps,
        )


PAPER = Rule()
STABLE = Rule(shorten=True)


def soft_threshold(x: np.ndarray, threshold: float, work: np.ndarray | None = None) -> np.ndarray:
    """Shrink `x` towards 0 by `threshold`, in place: sign(x) max(|x| - threshold, 0)."""
    return np.subtract(x, np.clip(x, -threshold, threshold, out=work), out=x)


@dataclass(frozen=True)
class Iteration:
    """The step ``r <- S(r M + b, sparsity)`` for one dictionary: ``M = I - step Phi'Phi``, ``b = step B Phi``.

    Attributes
    ----------
    inputs
        Gives the input B (rows, units) of a slice of rows, already minus the mean.
    dictionary, gram, matrix
        Phi (units, codewords), Phi'Phi and M (codewords, codewords).
    rule
        Constants, shortened where they allow it and the dictionary needs it.
    """

    inputs: Inputs
    dictionary: np.ndarray
    gram: np.ndarray
    matrix: np.ndarray
    rule: Rule

    @classmethod
    def of(cls, inputs: Inputs, dictionary: np.ndarray, rule: Rule, gram: np.ndarray | None = None) -> Iteration:
        """The step for a dictionary; `gram` is Phi'Phi, where the caller has it."""
        gram = dictionary.T @ dictionary if gram is None else gram
        share = stable_share(gram, rule.step) if rule.shorten else 1.0
        rule = rule if share == 1 else rule.shortened(share)
        matrix = np.multiply(gram, -rule.step, dtype=gram.dtype)
        matrix.flat[:: len(gram) + 1] += 1
        return cls(inputs, dictionary, gram, matrix, rule)

    def drive(self, part: slice, out: np.ndarray) -> None:
        """Write b of some rows to `out` (rows, codewords)."""
        np.matmul(self.inputs(part), self.dictionary, out=out)
        np.multiply(out, self.rule.step, out=out)

    def first_step(self, drive: np.ndarray, out: np.ndarray, work: np.ndarray | None = None) -> None:
        """Write the code after a step from zero to `out`."""
        out[...] = drive
        soft_threshold(out, self.rule.sparsity, work)

    def step(self, code: np.ndarray, drive: np.ndarray, out: np.ndarray, work: np.ndarray | None = None) -> None:
        """Write the code after a step from `code` to `out`."""
        np.matmul(code, self.matrix, out=out)
        out += drive
        soft_threshold(out, self.rule.sparsity, work)
