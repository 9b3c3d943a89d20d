"""Ordinary least squares with a mean: what predictors explain, and how well they predict rows left out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special  # not statsmodels or scikit-learn, the oracles in the tests: they take seconds to import

from distspc.kernels.statistics.correlations import Floats


class Explained(NamedTuple):
    """A fit: residual and total sums of squares, its free parameters (the mean among them), the number of rows."""

    residual: float
    total: float
    n_parameters: int
    n: int

    @property
    def r2(self) -> float:
        """Share of the variance that is explained."""
        return 1 - self.residual / self.total

    @property
    def r2_adjusted(self) -> float:
        """The same for the number of parameters."""
        return 1 - (self.n - 1) / (self.n - self.n_parameters) * (1 - self.r2)

    @property
    def p(self) -> float:
        """F test of the whole fit against the mean alone."""
        return self.p_beyond(Explained(self.total, self.total, 1, self.n))

    def p_beyond(self, nested: Explained) -> float:
        """F test of what this fit explains beyond one of some of its predictors."""
        added, left = self.n_parameters - nested.n_parameters, self.n - self.n_parameters
        with np.errstate(divide="ignore", invalid="ignore"):
            f = np.float64((nested.residual - self.residual) / added) / (self.residual / left)
        return 0.0 if np.isposinf(f) else float(special.fdtrc(added, left, f))


def explain(x: Floats, y: Floats) -> Explained:
    """Fit ``y`` (n,) by predictors ``x`` (n, k) and a mean."""
    design = np.column_stack([np.ones(len(x)), x])
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    residual, total = y - design @ coefficients, y - y.mean()
    rank = int(np.linalg.matrix_rank(design))
    return Explained(float(residual @ residual), float(total @ total), rank, len(y))


def r2_left_out(x: Floats, y: Floats, *, n_folds: int, random_state: int | None) -> float:
    """1 minus the squared error of predictions for rows left out of the fit, over the variance; below 0 where worse.

    Parameters
    ----------
    x, y
        Predictors (n, k) and what they predict (n,); n at least `n_folds`.
    n_folds
        Folds of shuffled rows, as scikit-learn's ``KFold`` makes them.
    random_state
        Seed.
    """
    rows = np.arange(len(y))
    np.random.RandomState(random_state).shuffle(rows)
    predicted = np.empty(len(y))
    for left_out in np.array_split(rows, n_folds):
        kept = np.setdiff1d(rows, left_out)
        mean_x, mean_y = x[kept].mean(axis=0), y[kept].mean()
        slopes = np.linalg.lstsq(x[kept] - mean_x, y[kept] - mean_y, rcond=None)[0]
        predicted[left_out] = mean_y + (x[left_out] - mean_x) @ slopes
    return float(1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2))
