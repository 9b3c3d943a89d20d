"""Spectral norms: exact, and proven bounds where exact is not needed.

The spectral norm of `a` is the root of the largest eigenvalue of its Gram matrix ``g = a'a`` (or ``aa'``, the smaller
one), and Gram matrices of row groups add up. Two cheap facts bound it from either side:

- for any vector x, ``x'gx / x'x`` is at most the largest eigenvalue (Rayleigh quotient): a lower bound;
- ``m^2 I - g`` has a Cholesky factor if and only if the norm is below m: a proof of an upper bound.

Both hold in exact arithmetic. In floating point the matrix itself is off, by at most `gram_error`, which callers allow
for; what is done with it is done in float64, and is off by less than `rounding_margin`. Callers take the norm itself
where a comparison falls inside either.
"""

from __future__ import annotations

import math

import numpy as np
import scipy  # its parts are imported at first use: scipy.linalg takes long

MAX_POWER_STEPS = 30


def rounding_margin(dtype: np.dtype) -> float:
    """Relative distance within which two norms count as not told apart that come from codes of this type.

    That is more than rounding can do, beside `gram_error`. A Cholesky factor of order n, in float64, errs by (n + 1)
    rounding units times the trace (Higham, 2002, theorem 10.3), at most n times the squared norm: 3e-11 for n = 500.
    The norm of a code along a vector errs by a rounding unit for each of its rows, at most 500, times its Frobenius
    norm, at most 22 times its norm: 1e-12 in float64, 7e-4 in float32. Sums of squares err by less.
    """
    return 1e-9 if np.dtype(dtype) == np.float64 else 1e-3


def gram_error(g: np.ndarray, n_summed: int) -> float:
    """Most that the largest eigenvalue of the Gram matrix `g` is off, whose entries add up `n_summed` products.

    They are off by n rounding units times those of ``|a|'|a|``, whose norm is at most the squared Frobenius norm of
    `a`: the trace of `g`. Two more stand for entries of `a` that were rounded to the type.
    """
    return (n_summed + 2) * float(np.finfo(g.dtype).eps) / 2 * float(np.trace(g, dtype=np.float64))


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
    raises the squared bound by less than `gain`, relatively. Returns the bound and the vector, of length 1; the bound
    holds wherever the iteration stops.
    """
    g = g.astype(np.float64, copy=False)
    # The row sums are one power step from the vector of ones.
    x, best = _unit(g.sum(axis=1) if start is None else start), 0.0
    for _ in range(MAX_POWER_STEPS):
        y = g @ x
        value = float(np.dot(x, y))
        converged = value <= best * (1 + gain)
        best = max(best, value)
        if converged:
            break
        x = _unit(y)
    return math.sqrt(best), x


def _unit(x: np.ndarray) -> np.ndarray:
    """A vector of length 1 in the direction of `x`; `x` itself if it has none."""
    length = math.sqrt(np.dot(x, x))
    return x / length if length > 0 else x


def is_below(g: np.ndarray, bound: float) -> bool:
    """Whether the spectral norm is proven to be below `bound`: ``bound^2 I - g`` has a Cholesky factor.

    False means not proven, not that the norm is above. Nothing is proven where squares underflow, because `g` has lost
    its digits there.
    """
    limits = np.finfo(g.dtype)
    if not (bound > 0 and bound * bound * limits.eps > limits.tiny):
        return False
    shifted = np.negative(g, dtype=np.float64)
    shifted.flat[:: len(g) + 1] += bound * bound
    # Fortran order without a copy: the transpose of a symmetric matrix is itself.
    return scipy.linalg.lapack.dpotrf(shifted.T, lower=1, clean=0, overwrite_a=1)[1] == 0


def upper_norm(
    g: np.ndarray, start: np.ndarray | None = None, *, error: float = 0.0, margin: float = 1e-9
) -> tuple[float, np.ndarray]:
    """Proven upper bound of the spectral norm from the Gram matrix `g` (n, n), most often within 0.2 % of it.

    `start` is as for `lower_norm`, `error` is that of `gram_error`, `margin` that of `rounding_margin`. Returns the
    bound and the vector that `lower_norm` found.
    """
    low, vector = lower_norm(g, start)
    bound = next((b for b in (low * 1.001, low * 1.01, low * 1.1) if is_below(g, b)), None)
    return math.hypot(norm_of_gram(g) if bound is None else bound, math.sqrt(error)) * (1 + margin), vector
