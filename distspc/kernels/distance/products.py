r"""Exact distances between rows at the speed of the matrix product.

A float32 matrix product gives every squared distance approximately, with the error bound below; the few pairs that the
bound cannot tell apart are computed again in float64 over :math:`x - y`. What the caller gets is what brute force in
float64 gives.

**The bound.** Let :math:`u` be the unit roundoff of the product's type (:math:`2^{-24}` in float32),
:math:`\gamma_n = nu / (1 - nu)`, :math:`c` any vector (zero or a mean), :math:`v = x - c` for a row :math:`x`, and
:math:`\lVert v \rVert = \sqrt m`.

1. *Centring* rounds every entry once: :math:`|\hat v - v| \le u |v|`, entry by entry, so a product of two centred rows
   is off by at most :math:`(2u + u^2) \sum |v_k w_k|`.
2. *Accumulating* a product over :math:`n` terms, in whatever order and with or without fused multiply-add, is off by at
   most :math:`\gamma_n \sum |v_k w_k|`. Features go in panels of :math:`P` (`PANEL`, or less where rows are copied),
   whose results are then added up: with :math:`p` panels a term meets at most :math:`P + p - 1` roundings instead
   of all :math:`K`.
3. By Cauchy and Schwarz :math:`\sum |v_k w_k| \le \lVert v \rVert \lVert w \rVert`. Together

   .. math:: |\hat P - v \cdot w| \le \beta \lVert v \rVert \lVert w \rVert + K\tau, \qquad
             \beta = \gamma_{P + p + 2},

   where :math:`\tau`, twice the smallest normal number, covers products that underflow; one of the roundings stands
   for products of errors. Without a centre :math:`\beta = \gamma_{P + p}`.
4. *Norms* are float64 sums over blocks of `BLOCK` features: relative error
   :math:`\delta = \gamma^{(64)}_{\text{BLOCK} + K / \text{BLOCK} + 3}`.

5. *Forming* the estimate :math:`q = m_x + m_y - 2 \hat P` in the product's type rounds each norm once and each of two
   sums once. As :math:`2 |\hat P| \le (1 + \beta) (m_x + m_y)`, neither sum exceeds :math:`(2 + \beta) (m_x + m_y)`, so
   these roundings add less than :math:`\varphi (m_x + m_y)`, :math:`\varphi = \gamma_6`, while :math:`\beta < 1/2`.

So :math:`q` is off from the squared distance by at most
:math:`2 \beta \lVert v \rVert \lVert w \rVert + (\delta + \varphi) (m_x + m_y) + 2 (K + 2) \tau`. The argument is that
of N. J. Higham, *Accuracy and Stability of Numerical Algorithms* (SIAM, 2002), sections 3.1 and 3.5; blocked algorithms
that multiply fewer times (Strassen) would break step 2, and no BLAS in use here has them.

*Cosine* and *correlation* distances are half the squared Euclidean distance of rows scaled to unit norm (for
correlation, of rows minus their own mean), :math:`2 - 2 G / (s_x s_y)` with
:math:`G = \hat P + c \cdot v + c \cdot w + c \cdot c \; [- K \mu_x \mu_y]`, so the same product serves them.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import DTypeLike

from distspc.kernels.distance.bounds import SUMMED_PANEL, panel_rows
from distspc.kernels.distance.rows import SPAN, block_dots, rows_at_once
from distspc.kernels.threads import in_threads, thread_parts

Metric = Literal["euclidean", "cosine", "correlation"]
METRICS: tuple[str, ...] = get_args(Metric)


def choose_centre(x: np.ndarray, norm_sq: np.ndarray, *, n_threads: int = 1) -> np.ndarray | None:
    """Mean of the rows where subtracting it tightens the bound at least fourfold, else None (no centring).

    Any centre is valid, so its own rounding does not matter. ReLU activations do without.
    """
    mean = np.empty(x.shape[1])

    def work(start: int, stop: int) -> None:
        np.add.reduce(x[:, start:stop], axis=0, dtype=np.float64, out=mean[start:stop])

    in_threads(work, x.shape[1], n_threads)
    mean /= max(len(x), 1)
    worthwhile = len(x) * float(mean @ mean) > 0.75 * float(norm_sq.sum())
    return mean.astype(np.float32) if worthwhile else None


def products(
    x: np.ndarray,
    y: np.ndarray,
    *,
    centre: np.ndarray | None,
    dtype: DTypeLike,
    n_threads: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Inner products of all centred rows of `x` with those of `y`, in `dtype`, within `error_bound`.

    The threads take ranges of the rows of `x`; BLAS itself is to be on one thread (`single_threaded_blas`).

    Parameters
    ----------
    x, y
        Float32 (n, n_features) and (m, n_features).
    centre
        Float32 (n_features,), or None for no centring.
    dtype
        Type of the arithmetic, float32 or float64.
    out
        Array (n, m) to write to; best in Fortran order. Of `dtype`, or float64 to have products of float32 added up in
        float64, within `summed_bound`.

    Returns
    -------
    Array (n, m), in Fortran order: a few images against many targets are multiplied that way round 4 %
    faster.
    """
    out = np.empty((len(x), len(y)), dtype=dtype, order="F") if out is None else out
    in_threads(lambda a, b: _multiply(y, x[a:b], centre, dtype, out[a:b].T), len(x), n_threads)
    return out


def symmetric_products(
    x: np.ndarray,
    *,
    centre: np.ndarray | None,
    dtype: DTypeLike,
    n_threads: int = 1,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Inner products of all centred rows of `x` with each other, (n, n): as `products` gives them, in half the work."""
    out = np.empty((len(x), len(x)), dtype=dtype, order="F") if out is None else out
    shares = _triangle(thread_parts(len(x), n_threads))

    def work(start: int, stop: int) -> None:
        for rows, cols in (block for share in shares[start:stop] for block in share):
            right = x[cols]
            _multiply(right, right if rows == cols else x[rows], centre, dtype, out[rows, cols].T)
            if rows != cols:
                out[cols, rows] = out[rows, cols].T

    in_threads(work, len(shares), n_threads)
    return out


def _triangle(parts: list[tuple[int, int]]) -> list[list[tuple[slice, slice]]]:
    """Blocks of a symmetric matrix, a share for every part of its rows, so that each entry or its mirror is in one.

    A part meets itself (BLAS does one half of such a product) and, in a circle, those that follow it up to the one
    opposite, which the two share.
    """
    n, slices = len(parts), [slice(*part) for part in parts]
    shares = [[(rows, slices[(i + step) % n]) for step in range((n + 1) // 2)] for i, rows in enumerate(slices)]
    if n % 2 == 0:
        for i, (upper, lower) in enumerate(zip(slices[: n // 2], slices[n // 2 :], strict=True)):
            middle = (upper.start + upper.stop) // 2
            shares[i].append((slice(upper.start, middle), lower))
            shares[i + n // 2].append((slice(middle, upper.stop), lower))
    return shares


def _multiply(x: np.ndarray, y: np.ndarray, centre: np.ndarray | None, dtype: DTypeLike, out: np.ndarray) -> None:
    """Write the products to `out`: all that another device would have to do in BLAS's place."""
    summed = out.dtype != dtype
    panel = SUMMED_PANEL if summed else panel_rows(dtype, centre is not None)
    with np.errstate(all="ignore"):
        for start in range(0, x.shape[1], panel):
            part = slice(start, start + panel)
            a = _centred(x[:, part], centre, part, dtype)
            b = a if y is x else _centred(y[:, part], centre, part, dtype)
            if start:
                out += a @ b.T
            elif summed:
                out[...] = a @ b.T
            else:
                np.matmul(a, b.T, out=out)


def _centred(rows: np.ndarray, centre: np.ndarray | None, part: slice, dtype: DTypeLike) -> np.ndarray:
    if centre is None:
        return rows.astype(dtype, copy=False)
    return np.subtract(rows, centre[part], dtype=dtype)


def pair_distances(
    x: np.ndarray, y: np.ndarray, rows: np.ndarray, cols: np.ndarray, *, metric: str, n_threads: int = 1
) -> np.ndarray:
    """Distance of the pairs ``x[rows[p]], y[cols[p]]`` in float64 over x - y; equal rows give exactly 0.

    Block sums of `BLOCK` features are added exactly (`math.fsum`), so that a pair's distance is the same number
    however the rows were cut into tiles.

    Parameters
    ----------
    x, y
        Float32 (n, n_features) and (m, n_features), whole rows.
    rows, cols
        Integer (n_pairs,).
    metric
        ``euclidean``, ``cosine`` (1 - cos) or ``correlation`` (1 - r).

    Returns
    -------
    Float64 (n_pairs,).
    """
    found = np.empty(len(rows))
    step = rows_at_once(x.shape[1])
    sums = _square_sums if metric == "euclidean" else _angular_sums

    def work(start: int, stop: int) -> None:
        for a in range(start, stop, step):
            part = slice(a, min(a + step, stop))
            blocks = sums(x, rows[part], y, cols[part], metric == "correlation")
            found[part] = [math.fsum(pair) for pair in blocks.tolist()]

    in_threads(work, len(rows), n_threads)
    return np.sqrt(found) if metric == "euclidean" else found / 2


def _square_sums(x: np.ndarray, rows: np.ndarray, y: np.ndarray, cols: np.ndarray, _: bool) -> np.ndarray:
    parts = []
    for start in range(0, x.shape[1], SPAN):
        span = slice(start, start + SPAN)
        difference = x[rows, span].astype(np.float64)
        difference -= y[cols, span]
        parts.append(block_dots(difference, difference))
    return np.concatenate(parts, axis=1)


def _angular_sums(x: np.ndarray, rows: np.ndarray, y: np.ndarray, cols: np.ndarray, remove_mean: bool) -> np.ndarray:
    difference = _unit_rows(x[rows], remove_mean) - _unit_rows(y[cols], remove_mean)
    return block_dots(difference, difference)


def _unit_rows(x: np.ndarray, remove_mean: bool) -> np.ndarray:
    values = x.astype(np.float64)
    if remove_mean:
        values -= values.mean(axis=1, keepdims=True)
    norms = [math.sqrt(math.fsum(row)) for row in block_dots(values, values).tolist()]
    return np.asarray(values / np.array(norms)[:, None])
