"""Spectral norms: exact, and proven bounds where exact is not needed.

The spectral norm of `a` is the root of the largest eigenvalue of its Gram matrix ``g = a'a`` (or ``aa'``, the smaller
one), and Gram matrices of row groups add up. Two cheap facts bound it from either side:

- for any vector x, ``x'gx / x'x`` is at most the largest eigenvalue (Rayleigh quotient): a lower bound;
- ``m^2 I - g`` has a Cholesky factor if and only if the norm is below m: a proof of an upper bound.

Both hold in exact arithmetic; in floating point they are off by some n times the rounding unit, so that callers
compare with a margin (`rounding_margin`) and take the norm itself where a comparison falls inside it.
"""

from __future__ import annotations

import math

import numpy as np
import scipy  # its parts are imported at first use: scipy.linalg takes long

MAX_POWER_STEPS = 30


def rounding_margin(dtype: np.dtype) -> float:
    """Relative distance within which two norms from Gram matrices of this type count as not told apart.

    A product of inner length n is off by at most n rounding units times the squared Frobenius norm, a Cholesky factor
    by as much again: for n = 500 and codes whose Frobenius norm is three times the spectral norm, that is 1e-12 in
    float64 and 5e-4 in float32.
    """
    return 1e-9 if np.dtype(dtype) == np.float64 else 1e-3


def gram(a: np.ndarray) -> np.ndarray:
    """Gram matrix of `a` (rows, columns) on its shorter side; its largest eigenvalue is the squared norm of `a`."""
    return a @ a.T if a.shape[0] < a.shape[1] else a.T @ a


def norm_of_gram(g: np.ndarray) -> float:
    """Spectral norm of a matrix, given its Gram matrix `g` (n, n).

    Raises
    ------
    FloatingPointError
        If `g` holds NaN or infinity.
    """
    if not np.isfinite(g).all():
        raise FloatingPointError("the norm of a matrix with NaN or infinity is not defined")
    n = len(g)
    return math.sqrt(max(scipy.linalg.eigvalsh(g, subset_by_index=[n - 1, n - 1], check_finite=False)[0], 0.0))


def lower_norm(g: np.ndarray, start: np.ndarray | None = None, *, gain: float = 1e-4) -> tuple[float, np.ndarray]:
    """Lower bound of the spectral norm from the Gram matrix `g` (n, n): Rayleigh quotients of a power iteration.

    Starts from the vector `start` (n,), such as the one returned for a matrix close to this one, and stops when a step
    raises the squared bound by less than `gain`, relatively. Returns the bound and the vector; the bound holds
    wherever the iteration stops.
    """
    # The row sums are one power step from the vector of ones.
    x = g.sum(axis=1) if start is None else start
    best = 0.0
    for _ in range(MAX_POWER_STEPS):
        length = math.sqrt(np.dot(x, x))
        if not length > 0:
            break
        x = x / length
        y = g @ x
        value = float(np.dot(x, y))
        if value <= best * (1 + gain):
            best = max(best, value)
            break
        best, x = value, y
    return math.sqrt(best), x


def is_below(g: np.ndarray, bound: float) -> bool:
    """Whether the spectral norm is proven to be below `bound`: ``bound^2 I - g`` has a Cholesky factor.

    False means not proven, not that the norm is above. Nothing is proven where squares underflow, because `g` has lost
    its digits there.
    """
    limits = np.finfo(g.dtype)
    if not (bound > 0 and bound * bound * limits.eps > limits.tiny):
        return False
    shifted = -g
    shifted.flat[:: len(g) + 1] += g.dtype.type(bound * bound)
    lapack = scipy.linalg.lapack
    factor = lapack.dpotrf if g.dtype == np.float64 else lapack.spotrf
    # Fortran order without a copy: the transpose of a symmetric matrix is itself.
    return factor(shifted.T, lower=1, clean=0, overwrite_a=1)[1] == 0


def upper_norm(
    g: np.ndarray, start: np.ndarray | None = None, *, margin: float | None = None
) -> tuple[float, np.ndarray]:
    """Proven upper bound of the spectral norm from the Gram matrix `g` (n, n), most often within 0.2 % of it.

    `start` is as for `lower_norm`; `margin` is that of the type of `g` by default. Returns the bound and the vector
    that `lower_norm` found.
    """
    low, vector = lower_norm(g, start)
    allowance = 1 + (rounding_margin(g.dtype) if margin is None else margin)
    for excess in (1e-3, 1e-2, 1e-1):
        if is_below(g, low * (1 + excess)):
            return low * (1 + excess) * allowance, vector
    return norm_of_gram(g) * allowance, vector
