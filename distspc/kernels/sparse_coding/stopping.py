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
count only where they clear it by a margin that is well above what rounding can do to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distspc.kernels.sparse_coding import spectral

SUBSPACE = 8
"""Number p of vectors in V."""


@dataclass
class PassSums:
    """Sums over parts that describe one pass of m steps."""

    squares: np.ndarray
    """(m + 1,) squared Frobenius norms of the codes after each step."""
    along: np.ndarray
    """(m, p, p) Gram matrices of (change of code) V."""
    ahead: np.ndarray
    """(codewords, p) dr'dr V of the last step: it spans the next V."""
    end: np.ndarray | None
    """Gram matrix (codewords, codewords) of the last code; None while the codes themselves are kept."""
    products: np.ndarray | None
    """(2, m + 1) inner products of the codes with the first and the last; None until they are needed."""

    def __add__(self, other: PassSums) -> PassSums:
        end = None if self.end is None or other.end is None else self.end + other.end
        both = None if self.products is None or other.products is None else self.products + other.products
        squares, along, ahead = self.squares + other.squares, self.along + other.along, self.ahead + other.ahead
        return PassSums(squares, along, ahead, end, both)


def first_subspace(n_codewords: int, dtype: np.dtype) -> np.ndarray:
    """Orthonormal V (codewords, p) to begin with; the vector of ones is in its span."""
    start = np.random.default_rng(0).standard_normal((n_codewords, min(SUBSPACE, n_codewords)))
    start[:, 0] = 1
    return np.ascontiguousarray(np.linalg.qr(start)[0], dtype)


def next_subspace(ahead: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the columns of `ahead` (codewords, p); `v` itself where those vanish."""
    q, r = np.linalg.qr(ahead)
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
    along = moves.transpose(0, 2, 1) @ moves
    change = history[-1] - history[-2]
    ahead = change.T @ (change @ v)
    end = None if keep else history[-1].T @ history[-1]
    products = None if keep else end_products(history)
    return PassSums(squares, along, ahead, end, products)


def end_products(history: np.ndarray) -> np.ndarray:
    """Inner products (2, m + 1) of the codes of a pass with its first and its last code."""
    return np.array([[np.vdot(code, end) for code in history] for end in (history[0], history[-1])])


def line_bounds(squares: np.ndarray, products: np.ndarray, first_norm: float, last_norm: float) -> np.ndarray:
    """Upper bounds (m,) of the norms of the codes of a pass, from the norms at both ends.

    Parameters
    ----------
    squares, products
        As in `PassSums`.
    first_norm, last_norm
        Upper bounds of the norms of the first and the last code.
    """
    m = len(squares) - 1
    a = np.arange(m) / m
    first, last = products[:, :-1]
    line = (1 - a) ** 2 * first[0] + 2 * a * (1 - a) * last[0] + a**2 * squares[-1]
    off = squares[:-1] - 2 * ((1 - a) * first + a * last) + line
    # Sums cancel here: their rounding, as a distance, is allowed for.
    rounding = 64 * np.finfo(squares.dtype).eps * squares.max()
    return (1 - a) * first_norm + a * last_norm + np.sqrt(np.maximum(off, 0) + rounding)


def proven_side(
    change: np.ndarray, least: float, most: float, start: np.ndarray | None
) -> tuple[bool | None, np.ndarray]:
    """Whether a step meets the rule: True or False where that is proven, else None.

    Parameters
    ----------
    change
        Gram matrix of dr; its type sets the margin.
    least, most
        Bounds of the norm of dr below which the rule is met: tolerance times (eps plus a bound of the norm of r).
    start
        Vector to start from, as for `spectral.lower_norm`; the one found is returned for the next step.
    """
    margin = spectral.margin(change.dtype)
    low, vector = spectral.lower_norm(change, start)
    if low >= most * (1 + margin):
        return False, vector
    if spectral.is_below(change, least * (1 - margin)):
        return True, vector
    return None, vector
