"""The quantile of absolute activations that scales them."""

from __future__ import annotations

import math

import numpy as np

SCALE_QUANTILE = 0.95
QUANTILE_VALUES = 1 << 20
"""Values that are looked at together: they are in memory four times, of four bytes each."""


def absolute_quantile(x: np.ndarray, q: float, *, chunk: int = QUANTILE_VALUES) -> np.float32:
    """Quantile `q` of |x| over all entries of a float32 array, as `numpy.quantile` gives it, without a copy of `x`.

    The bits of non-negative floats order like integers: one pass counts their upper halves, one pass the lower halves
    of those in question. `x` may be a memory map of any size.
    """
    flat = x.reshape(-1)
    position = q * (flat.size - 1)
    ranks = sorted({math.floor(position), math.ceil(position)})
    values = [_absolute_order_statistic(flat, rank, chunk) for rank in ranks]
    weight = position - math.floor(position)
    return np.float32(np.quantile(np.array([values[0], values[-1]], np.float32), weight))


def _absolute_order_statistic(flat: np.ndarray, rank: int, chunk: int) -> np.float32:
    def bits(start: int) -> np.ndarray:
        return np.abs(flat[start : start + chunk]).view(np.uint32)

    starts = range(0, flat.size, chunk)
    upper = sum((np.bincount(bits(s) >> 16, minlength=1 << 16) for s in starts), start=np.zeros(1 << 16, np.int64))
    high = int(np.searchsorted(np.cumsum(upper), rank, side="right"))
    rank -= int(upper[:high].sum())
    lower = np.zeros(1 << 16, np.int64)
    for s in starts:
        part = bits(s)
        lower += np.bincount(part[part >> 16 == high] & 0xFFFF, minlength=1 << 16)
    low = int(np.searchsorted(np.cumsum(lower), rank, side="right"))
    return np.uint32(high << 16 | low).view(np.float32)


class NotFiniteError(ValueError):
    """Values hold NaN or infinity."""


class ZeroQuantileError(ValueError):
    """The quantile to scale by is 0."""


def scale_quantile(x: np.ndarray) -> np.float32:
    """The 95th percentile of |x| over all entries, by which the method divides the sampled units.

    Raises
    ------
    NotFiniteError
        If `x` holds NaN or infinity.
    ZeroQuantileError
        If the quantile is 0 because more than 95 % of the entries are zero.
    """
    # A sum is not finite if any entry is not: one pass without a temporary of x's size.
    if not math.isfinite(float(np.sum(x, dtype=np.float64))):
        raise NotFiniteError("the activations hold NaN or infinity")
    quantile = absolute_quantile(x, SCALE_QUANTILE)
    if quantile == 0:
        zeros = 1 - np.count_nonzero(x) / x.size
        raise ZeroQuantileError(
            f"the {100 * SCALE_QUANTILE:.0f}th percentile of the sampled activations is 0 ({zeros:.1%} of them are "
            "zero), so they cannot be scaled by it"
        )
    return quantile
