"""How far a product of matrices can be from the exact one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from distspc.kernels.distance.rows import BLOCK, RowStatistics

PANEL = 25_088
"""Features of one matrix product: longer loosens the bound, shorter spends time adding up panels.

Measured at block5_pool size (25,088 features): a panel of all of them sends 10 % more pairs to float64 than panels of a
quarter, which costs a tenth of what adding up four panels does.
"""
SUMMED_PANEL = 1_024
"""Features of one float32 product whose results are added up in float64: as fast as longer ones (0.95 to 1.0 of the
product of a whole row, measured), with a bound some 25 times as sharp as theirs."""
PANEL_NBYTES = 8_192
"""Bytes of a row's panel where rows are copied to be centred or converted, by every thread for itself."""
LARGEST = float(np.finfo(np.float32).max) / 8
"""Squared norm up to which estimates stay within float32: they are at most 2 (1 + beta) times the sum of two squared
norms, and limits that they are compared with at most a few beta of that above them, so below 5 squared norms."""


@dataclass(frozen=True)
class Bound:
    """Error bound of a matrix product, see the module's derivation.

    Attributes
    ----------
    product
        beta: error of the product, relative to the product of the two centred norms.
    sums
        delta: relative error of the float64 sums.
    forming
        phi: error of forming an estimate in the product's type, relative to the sum of the two squared norms.
    tiny
        (K + 2) tau: absolute error by underflow.
    """

    product: float
    sums: float
    forming: float
    tiny: float


def gamma(n: int, dtype: DTypeLike) -> float:
    """Relative error of n roundings of `dtype`: n u / (1 - n u).

    >>> round(gamma(4096, "float32"), 7)
    0.0002442
    """
    unit = float(np.finfo(dtype).eps) / 2
    return math.inf if n * unit >= 0.5 else n * unit / (1 - n * unit)


def error_bound(n_features: int, dtype: DTypeLike, *, n_tiles: int = 1, centred: bool = False) -> Bound:
    """Bound of `products` over `n_features` in `dtype`, with or without a centre, summed over `n_tiles` tiles.

    Roundings that a term meets: as many as a panel or block has features (its own product, and the sums after it); the
    sums of panels or blocks, and of tiles; the centring of both factors. One more stands for those of the norms that
    the bound is multiplied with, and for products of errors.
    """
    panel = panel_rows(dtype, centred)
    n_sums = -(-n_features // panel) + n_tiles - 2
    return Bound(
        product=gamma(min(panel, n_features) + n_sums + 2 * centred + 1, dtype),
        sums=gamma(min(BLOCK, n_features) + n_features // BLOCK + n_tiles - 1 + 2 + 1, "float64"),
        forming=gamma(6, dtype),
        tiny=2 * (n_features + 2) * float(np.finfo(dtype).tiny),
    )


def summed_bound(n_features: int, *, n_tiles: int = 1) -> Bound:
    """Bound of `products` in float32 that are added up in float64, over `n_tiles` tiles of features together.

    Each tile may have a centre of its own, or none.
    """
    panel = error_bound(min(n_features, SUMMED_PANEL), "float32", centred=True)
    sums = error_bound(n_features, "float64", n_tiles=n_tiles)
    n_sums = -(-n_features // SUMMED_PANEL) + n_tiles - 1
    tiny = error_bound(n_features, "float32").tiny
    return Bound(panel.product + gamma(n_sums, "float64"), sums.sums, sums.forming, tiny)


def panel_rows(dtype: DTypeLike, centred: bool) -> int:
    """Features that are summed in one product; partial sums are then added in float64."""
    copied = centred or np.dtype(dtype) != np.float32
    return PANEL_NBYTES // np.dtype(dtype).itemsize if copied else PANEL


def product_dtype(left: RowStatistics, right: RowStatistics, bound: Bound) -> type[np.floating]:
    """Float32, or float64 where products or squared norms of these rows would overflow or underflow in float32."""
    largest = [float(s.centred_norm_sq.max(initial=0)) for s in (left, right)]
    overflows = max(largest) > LARGEST
    underflows = 0 < bound.product * math.sqrt(largest[0]) * math.sqrt(largest[1]) < bound.tiny
    return np.float64 if overflows or underflows else np.float32
