"""When the inner loop stops: the first step whose ``||dr||_2 / (eps + ||r||_2)`` is below the tolerance, proven.

Everything here is a sum over groups of rows, so that a set cut into parts stops where the whole set would. Cheapest
first:

1. ``||dr V||`` for a few orthonormal vectors V (kept close to the top singular vectors of dr) is a lower bound of
   ``||dr||``; the Frobenius norm is an upper bound of ``||r||``. Far from the stop they prove that it is not reached.
2. Within a pass of m steps r moves almost along a line, so with ``a = j / m``,
   ``||r_j|| <= (1-a) ||r_0|| + a ||r_m|| + ||r_j - line||_F``: two norms bound all steps of the pass closely.
3. What is left is decided by the Gram matrix of dr: a Rayleigh quotient proves that the rule is not met, a Cholesky
   factor that it is; then by eigenvalues.

Where even eigenvalues agree with the tolerance to 1e-9, the caller takes the singular values of the definition. Bounds
count only where they clear it by more than rounding can do to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from distspc.kernels.sparse_coding import spectral

SUBSPACE = 8
"""Number p of vectors in V."""


@dataclass(frozen=True)
class PassSums:
    """Sums over parts that describe one pass of m steps."""

    squares: np.ndarray
    """(m + 1,) squared Frobenius norms of the codes after each step."""
    projected_grams: np.ndarray
    """(m, p, p) Gram matrices of (change of code) V."""
    power_step: np.ndarray
    """(codewords, p) dr'dr V of the last step: it spans the next V."""
    end_gram: np.ndarray | None
    """Gram matrix (codewords, codewords) of the last code; None while the codes themselves are kept."""
    end_products: np.ndarray | None
    """(2, m + 1) inner products of the codes with the first and the last; None while the codes are kept."""

    def __add__(self, other: PassSums) -> PassSums:
        return PassSums(
            squares=self.squares + other.squares,
            projected_grams=self.projected_grams + other.projected_grams,
            power_step=self.power_step + other.power_step,
            end_gram=_sum_of_both(self.end_gram, other.end_gram),
            end_products=_sum_of_both(self.end_products, other.end_products),
        )


def _sum_of_both(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    return None if a is None or b is None else a + b


def first_subspace(n_codewords: int, dtype: np.dtype) -> np.ndarray:
    """Orthonormal V (codewords, p) to begin with; the vector of ones is in its span."""
    start = np.random.default_rng(0).standard_normal((n_codewords, min(SUBSPACE, n_codewords)))
    start[:, 0] = 1
    return np.ascontiguousarray(np.linalg.qr(start)[0], dtype)


def next_subspace(power_step: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the columns of `power_step` (codewords, p); `v` itself where those vanish."""
    q, r = np.linalg.qr(power_step)
    return np.ascontiguousarray(q) if np.abs(np.diag(r)).max() > 0 else v


def summarise(
    history: np.ndarray, squares: np.ndarray, projected: np.ndarray, v: np.ndarray, *, keep: bool
) -> PassSums:
    """Sums of one part.

    Parameters
    ----------
    history
        Codes after each step (m + 1, rows, codewords).
    squares, projected
        Their squared Frobenius norms (m + 1,) and products with V (m + 1, rows, p).
    v
        V (codewords, p).
    keep
        Whether the codes will stay where they are: then what is needed only near the stop is left for later.
    """
    moves = np.diff(projected, axis=0)
    change = history[-1] - history[-2]
    return PassSums(
        squares=squares,
        projected_grams=moves.transpose(0, 2, 1) @ moves,
        power_step=change.T @ (change @ v),
        end_gram=None if keep else history[-1].T @ history[-1],
        end_products=None if keep else end_products(history),
    )


def inner_product(a: np.ndarray, b: np.ndarray) -> np.floating:
    """Inner product of two codes (rows, codewords): row by row, so that a term meets few roundings (`n_roundings`)."""
    return np.vecdot(a, b).sum()


def n_roundings(n_codewords: int, n_parts: int) -> int:
    """Most roundings that a term of an `inner_product` meets, summed over parts.

    One for every codeword and part; NumPy adds up rows in pairs, which takes 19 of up to 128 rows and one more each
    time that they double.
    """
    return n_codewords + 64 + n_parts


def end_products(history: np.ndarray) -> np.ndarray:
    """Inner products (2, m + 1) of the codes of a pass with its first and its last code."""
    return np.array([[inner_product(code, end) for code in history] for end in (history[0], history[-1])])


def change_bounds(sums: PassSums, n_codewords: int, *, margin: float) -> np.ndarray:
    """Lower bounds (m,) of the norms of the changes of the code, from those of their products with V.

    Products with V are off by a rounding unit for each codeword times the Frobenius norms of code and V, the root of p;
    those of a change, small beside the codes that it is the difference of, by twice that: 2.9 eps for p = 8. The
    `margin` (`spectral.rounding_margin`) is for what comes after: Gram matrices of p columns, and the sums of squares
    that they are compared with.
    """
    found = np.sqrt(np.maximum(np.linalg.eigvalsh(sums.projected_grams)[:, -1], 0))
    rounding = 3 * n_codewords * np.finfo(sums.squares.dtype).eps * np.sqrt(sums.squares)
    return np.asarray((1 - margin) * found - np.maximum(rounding[:-1], rounding[1:]))


def line_bounds(
    squares: np.ndarray, products: np.ndarray, first_norm: float, last_norm: float, *, n_summed: int
) -> np.ndarray:
    """Upper bounds (m,) of the norms of the codes of a pass, from the norms at both ends.

    Parameters
    ----------
    squares, products
        As in `PassSums`.
    first_norm, last_norm
        Upper bounds of the norms of the first and the last code.
    n_summed
        Roundings that a term of these sums has met (`n_roundings`).
    """
    m = len(squares) - 1
    a = np.arange(m) / m
    first, last = products[:, :-1]
    line = (1 - a) ** 2 * first[0] + 2 * a * (1 - a) * last[0] + a**2 * squares[-1]
    off = squares[:-1] - 2 * ((1 - a) * first + a * last) + line
    # Sums cancel here. Their weights are at most 4 in all, so that they are off by 4 n rounding units of the largest.
    rounding = 2 * n_summed * np.finfo(squares.dtype).eps * squares.max()
    return (1 - a) * first_norm + a * last_norm + np.sqrt(np.maximum(off, 0) + rounding)


def proven_side(
    change: np.ndarray, least: float, most: float, start: np.ndarray | None, *, error: float, margin: float
) -> tuple[bool | None, np.ndarray]:
    """Whether a step meets the rule: True or False where that is proven, else None.

    Parameters
    ----------
    change
        Gram matrix of dr.
    least, most
        Bounds of the norm of dr below which the rule is met: tolerance times (eps plus a bound of the norm of r).
    start
        Vector to start from, as for `spectral.lower_norm`; the one found is returned for the next step.
    error
        Most that the largest eigenvalue of `change` is off (`spectral.gram_error`).
    margin
        Relative distance within which norms do not count as told apart (`spectral.rounding_margin`).
    """
    low, vector = spectral.lower_norm(change, start)
    if low**2 - error >= (most * (1 + margin)) ** 2:
        return False, vector
    bound = least * (1 - margin)
    if bound > 0 and spectral.is_below(change, math.sqrt(max(bound**2 - error, 0))):
        return True, vector
    return None, vector
