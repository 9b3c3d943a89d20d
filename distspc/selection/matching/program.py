"""A mixed-integer linear program, put together row by row, solved by HiGHS through SciPy."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from distspc.selection.options import Effort

_OPTIMAL, _LIMIT, _INFEASIBLE = 0, 1, 2
_NO_GAP = float("nan")


@dataclass(frozen=True)
class Solution:
    """What the solver found.

    Attributes
    ----------
    values
        Value of every variable, or None where no set was found.
    infeasible
        Whether the solver proved that there is none.
    optimal
        Whether the set is proven to be the best, within the gap.
    gap
        Relative distance from the proven bound.
    seconds
        Time of the solver.
    """

    values: np.ndarray | None
    infeasible: bool
    optimal: bool
    gap: float
    seconds: float


class Program:
    """Variables with bounds, rows between limits, and costs that are minimised."""

    def __init__(self) -> None:
        self._lower: list[float] = []
        self._upper: list[float] = []
        self._integer: list[bool] = []
        self._costs: dict[int, float] = {}
        self._rows: list[tuple[np.ndarray, np.ndarray, float, float]] = []

    def variables(self, n: int = 1, lower: float = 0.0, upper: float = np.inf, *, integer: bool = False) -> np.ndarray:
        """Add variables; returns their positions."""
        first = len(self._lower)
        self._lower += [lower] * n
        self._upper += [upper] * n
        self._integer += [integer] * n
        return np.arange(first, first + n)

    def fix(self, columns: np.ndarray, value: float) -> None:
        """Give variables one value."""
        for column in columns:
            self._lower[column] = self._upper[column] = value

    def row(self, columns: ArrayLike, coefficients: ArrayLike, lower: float, upper: float) -> None:
        """Keep a weighted sum of variables between two limits."""
        at = np.atleast_1d(np.asarray(columns))
        self._rows.append((at, np.broadcast_to(np.asarray(coefficients, float), at.shape), lower, upper))

    def cost(self, columns: np.ndarray, values: ArrayLike) -> None:
        """Set what a unit of some variables costs."""
        at = np.atleast_1d(columns)
        self._costs.update(zip(at.tolist(), np.broadcast_to(np.asarray(values, float), at.shape).tolist(), strict=True))

    def solve(self, effort: Effort, *, relaxed: bool = False) -> Solution:
        """Minimise the costs; `relaxed` lets whole numbers be broken ones, which is fast."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        costs = np.zeros(len(self._lower))
        costs[list(self._costs)] = list(self._costs.values())
        lower, upper = (np.array([row[i] for row in self._rows]) for i in (2, 3))
        start = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the seed goes to HiGHS as it is
            found = milp(
                costs,
                integrality=np.zeros(len(costs)) if relaxed else np.array(self._integer, int),
                bounds=Bounds(self._lower, self._upper),
                constraints=LinearConstraint(self._matrix(), lower, upper),
                options={
                    "time_limit": max(effort.time_limit, 0.1),
                    "mip_rel_gap": effort.gap,
                    "random_seed": effort.seed % 2**31,
                },
            )
        gap = _NO_GAP if found.x is None else float(getattr(found, "mip_gap", 0.0) or 0.0)
        seconds = time.monotonic() - start
        return Solution(found.x, found.status == _INFEASIBLE, found.status == _OPTIMAL, gap, seconds)

    def _matrix(self) -> object:
        from scipy.sparse import csr_array

        indptr = np.cumsum([0] + [len(columns) for columns, *_ in self._rows])
        columns = np.concatenate([row[0] for row in self._rows])
        data = np.concatenate([row[1] for row in self._rows])
        return csr_array((data, columns, indptr), shape=(len(self._rows), len(self._lower)))
