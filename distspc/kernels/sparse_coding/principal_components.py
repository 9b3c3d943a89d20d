"""Principal components of units in parts of rows: the linear model beside sparse coding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy


@dataclass(frozen=True)
class PrincipalComponents:
    """Mean (units,) and orthonormal components (units, codewords) of a set of rows."""

    mean: np.ndarray
    components: np.ndarray

    def error(self, x: np.ndarray) -> np.ndarray:
        """Mean squared residual (rows,) of rows `x` (rows, units) outside the span of the components."""
        centred = x - self.mean
        residual = centred - (centred @ self.components) @ self.components.T
        return np.einsum("ru,ru->r", residual, residual) / x.shape[1]


def principal_components(x: np.ndarray, n_components: int, *, part_rows: int = 4096) -> PrincipalComponents:
    """Leading principal components of the rows of `x` (rows, units), from their covariance, in float64.

    Raises
    ------
    ValueError
        If more components are asked for than rows or units allow.
    """
    n_rows, n_units = x.shape
    if n_components > min(n_rows, n_units):
        raise ValueError(f"{n_components} components of {n_rows} rows of {n_units} units: at most the smaller of both")
    mean, covariance = _moments(x, part_rows)
    _, vectors = scipy.linalg.eigh(covariance, subset_by_index=[n_units - n_components, n_units - 1])
    return PrincipalComponents(mean, np.ascontiguousarray(vectors[:, ::-1]))


def first_component_share(x: np.ndarray) -> float:
    """Share of the variance of the rows of `x` (rows, units) along their first principal component; 0 if all alike."""
    _, covariance = _moments(x)
    total, k = float(np.trace(covariance)), len(covariance)
    largest = (
        float(scipy.linalg.eigvalsh(covariance, subset_by_index=[k - 1, k - 1])[0]) if np.isfinite(total) else math.nan
    )
    return largest / total if total > 0 else 0.0


def _moments(x: np.ndarray, part_rows: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Mean (units,) and sums of squares and products about it (units, units) of the rows of `x`, in float64."""
    mean = x.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), part_rows):
        centred = x[start : start + part_rows] - mean
        covariance += centred.T @ centred
    return mean, covariance


def row_parts(n_rows: int, n_columns: int, nbytes: int = 1 << 26) -> list[slice]:
    """Cut ``0..n_rows`` into slices whose rows of `n_columns` float64 fit into `nbytes`."""
    size = max(1, nbytes // (8 * max(n_columns, 1)))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]
