"""When the inner loop stops: the first step whose ``||dr||_2 / (eps + ||r||_2)`` is below eps, proven step by step.

Everything here is a sum over groups of rows, so that a set cut into parts stops where the whole set would. Cheapest
first:

1. ``|dr v|`` for one vector v (kept close to the top singular vector of dr) is a lower bound of ``||dr||``; the
   Frobenius norm is an upper bound of ``||r||``. Far from the stop they prove that it is not reached.
2. Within a pass of m steps r moves almost along a line, so with ``a = j / m``,
   ``||r_j|| <= (1-a) ||r_0|| + a ||r_m|| + ||r_j - line||_F``: two norms bound all steps of the pass closely.
3. What is left is decided by Gram matrices of dr and r: Rayleigh quotient against Cholesky factor, then eigenvalues.

Where even eigenvalues agree with eps to the margin (1e-9), the caller takes the singular values of the definition. The
margin is some 1e4 times what rounding can do to any of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from distspc.kernels import spectral


@dataclass
class PassSums:
    """Sums over parts that describe one pass of m steps."""

    squares: np.ndarray
    """(m + 1,) squared Frobenius norms of the codes after each step."""
    along: np.ndarray
    """(m,) squared length of (change of code) v."""
    ahead: np.ndarray
    """(codewords,) dr'dr v of the last step: the next v."""
    end: np.ndarray | None
    """Gram matrix (codewords, codewords) of the last code; None while the codes themselves are kept."""
    products: np.ndarray | None
    """(2, m + 1) inner products of the codes with the first and the last; None until they are needed."""

    def __add__(self, other: PassSums) -> PassSums:
        end = None if self.end is None or other.end is None else self.end + other.end
        both = None if self.products is None or other.products is None else self.products + other.products
        squares, along, ahead = self.squares + other.squares, self.along + other.along, self.ahead + other.ahead
        return PassSums(squares, along, ahead, end, both)


def summarise(history: np.ndarray, v: np.ndarray, *, keep: bool) -> PassSums:
    """Sums of one part from its codes after each step (m + 1, rows, codewords); `keep`: the codes will stay there."""
    squares = np.array([np.vdot(code, code) for code in history])
    along = np.diff(history @ v, axis=0)
    change = history[-1] - history[-2]
    ahead = (change @ v) @ change
    end = None if keep else history[-1].T @ history[-1]
    products = None if keep else end_products(history)
    return PassSums(squares, np.einsum("jr,jr->j", along, along), ahead, end, products)


def end_products(history: np.ndarray) -> np.ndarray:
    """Inner products (2, m + 1) of the codes of a pass with its first and its last code."""
    flat = history.reshape(len(history), -1)
    return np.stack([flat @ flat[0], flat @ flat[-1]])


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
    slack = 64 * np.finfo(squares.dtype).eps * squares.max()
    return (1 - a) * first_norm + a * last_norm + np.sqrt(np.maximum(off, 0) + slack)


class Decider:
    """Decides single steps from Gram matrices; remembers top vectors to start from.

    Parameters
    ----------
    eps
        Tolerance of the rule.
    dtype
        Type of the codes: sets the margin.
    """

    def __init__(self, eps: float, dtype: np.dtype) -> None:
        self.eps, self.margin = eps, spectral.margin(dtype)
        self.forget()

    def forget(self) -> None:
        """Start anew: the next matrices have nothing to do with those before."""
        self.change_top: np.ndarray | None = None
        self.code_top: np.ndarray | None = None

    def ratio(self, change: np.ndarray, code: np.ndarray) -> float:
        """The ratio where bounds do not tell its side of eps; infinity or 0 where they prove it to be above or below.

        Parameters
        ----------
        change, code
            Gram matrices of dr and of r.
        """
        eps = self.eps
        change_low, self.change_top = spectral.lower_norm(change, self.change_top)
        code_low, self.code_top = spectral.lower_norm(code, self.code_top)
        if change_low >= eps * (eps + code_low):
            if spectral.is_below(code, change_low / (eps * (1 + self.margin)) - eps):
                return math.inf
        elif spectral.is_below(change, eps * (1 - self.margin) * (eps + code_low)):
            return 0.0
        return spectral.norm_of_gram(change) / (eps + spectral.norm_of_gram(code))
