"""Which pairs may be among the nearest: estimates with their bound, and the k best found so far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distspc.kernels.distance.bounds import Bound
from distspc.kernels.distance.rows import RowStatistics

TIE = 1 + 1e-12
"""Limits are widened by this factor: more than the square of a distance can be off that is computed in float64 (two
block sums and two roots, 6e-14), so that rounding decides no tie."""
FLAT = 1e-12
"""Share of the squared norm up to which a variance may be rounding: three times `Bound.sums` of a million features."""
CANCELLATION = 0.02
"""Share of the squared norms below which mean squared distances are not left to float32: it rounds the norms to some
3e-8, which is 1e-6 of such a distance."""
_ENTRIES = 2**17
"""Estimates that are worked on at once: few for the processor's cache, many for threads to run side by side."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of a target and an image with their squared distance and its possible error.

    Attributes
    ----------
    target, image
        Positions, int64 (n_pairs,).
    square, max_error
        Squared distance (twice the distance for cosine and correlation) and the most it can be off, float64.
    """

    target: np.ndarray
    image: np.ndarray
    square: np.ndarray
    max_error: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, which: np.ndarray | slice) -> Pairs:
        return Pairs(self.target[which], self.image[which], self.square[which], self.max_error[which])

    def shifted(self, target: int, image: int) -> Pairs:
        """The same pairs, counted from other origins."""
        return Pairs(self.target + target, self.image + image, self.square, self.max_error)

    @staticmethod
    def joined(parts: list[Pairs]) -> Pairs:
        """All pairs of several."""
        if not parts:
            return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))
        return Pairs(
            *(np.concatenate([getattr(p, n) for p in parts]) for n in ("target", "image", "square", "max_error"))
        )


@dataclass(frozen=True)
class Selection:
    """What one tile of estimates leaves.

    Attributes
    ----------
    pairs
        Pairs that may be among the nearest.
    pool_sum, pool_count
        Of each target, the estimated distances to all images of the tile that count: their sum, but for those of
        `pairs`, which is for `add_to_pool`, and their number, (n_targets,).
    cancellation
        Whether a target's distances are on average so small beside what they are differences of (squared norms, for
        euclidean) that rounding shows in their sum in float32.
    """

    pairs: Pairs
    pool_sum: np.ndarray
    pool_count: np.ndarray
    cancellation: bool


def scales(statistics: RowStatistics, metric: str) -> np.ndarray:
    """What a row is divided by: 1 (euclidean), its norm (cosine), the norm of row minus mean (correlation).

    A row that cannot be scaled gets 0: its norm is 0, or its variance is no more than rounding (`FLAT`).
    """
    if metric == "euclidean":
        return np.ones(len(statistics.norm_sq))
    if metric == "cosine":
        return np.sqrt(statistics.norm_sq)
    spread = statistics.norm_sq - statistics.sum**2 / statistics.n_features
    return np.sqrt(np.where(spread > FLAT * statistics.norm_sq, spread, 0))


def estimates(
    product: np.ndarray, left: RowStatistics, right: RowStatistics, bound: Bound, metric: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared distances from products of centred rows, and the most that each can be off.

    The error of a pair is at most a sum of one term of the row and one of the column, because
    2 |v| |w| <= |v|^2 + |w|^2: that costs no further matrix. Euclidean distances are formed in the product's type, the
    others, differences of larger numbers, in float64.

    Parameters
    ----------
    product
        (n, m), from `products`.
    left, right
        Statistics of its n rows and m columns.
    bound
        Of the product.

    Returns
    -------
    square
        (n, m), of the product's type for euclidean, else float64 and the squared distance of the scaled rows.
    left_error, right_error
        Float64 (n,) and (m,).
    """
    dtype = product.dtype if metric == "euclidean" else np.float64
    square = np.multiply(product, -2, dtype=dtype, order="C")
    if metric == "euclidean":
        square += left.centred_norm_sq[:, None].astype(dtype)
        square += right.centred_norm_sq.astype(dtype)
    else:
        square -= 2 * (left.dot_centre + left.centre_norm_sq)[:, None]
        square -= 2 * right.dot_centre
        if metric == "correlation":
            square += left.sum[:, None] * right.sum * (2 / left.n_features)
        square /= scales(left, metric)[:, None]
        square /= scales(right, metric)
        square += 2
    return square, _max_error(left, bound, metric), _max_error(right, bound, metric)


def _max_error(rows: RowStatistics, bound: Bound, metric: str) -> np.ndarray:
    r"""Share of one row in the error of its estimates, see the derivation in `distspc.kernels.distance.products`.

    For cosine and correlation let :math:`s` be the scale, :math:`\delta` `bound.sums` and
    :math:`R = \lVert v \rVert + \lVert c \rVert`, at least the norm of the row, which is at least :math:`s`. Errors
    of :math:`2 a R_x R_y / (s_x s_y)` are at most :math:`a R^2 / s^2` of each row, and in all they are 16
    :math:`\delta R^2 / s^2`:

    - 3 of the sums in :math:`G`: dot products with the centre make one, sums of entries two;
    - 6 of the scales: :math:`s^2` is off by :math:`3 \delta R^2` (a sum of squares, and twice a sum), and
      :math:`|1 - s / \hat s|`, of the cosine and so of at most 2 in all, by as large a share, however small
      :math:`s` is;
    - 2 of the distance that is computed again, from rows scaled with an error of :math:`\delta / 2` each;
    - 5 of forming the estimate: some 20 roundings, where :math:`\delta` is at least four.
    """
    if metric == "euclidean":
        return (bound.product + bound.forming + bound.sums) * rows.centred_norm_sq + bound.tiny
    reach = (np.sqrt(rows.centred_norm_sq) + np.sqrt(rows.centre_norm_sq)) ** 2
    error = bound.product * rows.centred_norm_sq + 16 * bound.sums * reach + bound.tiny
    return np.asarray(error / scales(rows, metric) ** 2)


def select_candidates(
    product: np.ndarray,
    left: RowStatistics,
    right: RowStatistics,
    *,
    bound: Bound,
    metric: str,
    n_neighbours: int,
    limit: np.ndarray,
    drop_zero: bool,
    self_columns: np.ndarray,
    groups: tuple[np.ndarray, np.ndarray] | None = None,
) -> Selection:
    """Pairs of one tile whose distance may be among the `n_neighbours` smallest of their target.

    A pair stays when its lower bound is not above the least value that the target's k-th distance is sure not to
    exceed: `limit` from earlier tiles, or the k-th smallest upper bound in this one.

    Parameters
    ----------
    product, left, right, bound, metric
        See `estimates`.
    limit
        Squared distance of the k-th best found so far, infinite where there are fewer, (n,).
    drop_zero
        Whether distances of exactly 0 do not count.
    self_columns
        Column that holds the target itself, -1 where none does, (n,).
    groups
        Category codes of rows and columns; only pairs with equal codes count.
    """
    n = len(product)
    pool_sum, pool_count = np.zeros(n), np.full(n, product.shape[1])
    found: list[Pairs] = []
    cancellation = False
    step = max(1, _ENTRIES // product.shape[1])
    for a in range(0, n, step):
        rows = slice(a, a + step)
        square, left_error, right_error = estimates(product[rows], left[rows], right, bound, metric)
        excluded = _excluded(
            self_columns[rows], None if groups is None else (groups[0][rows], groups[1]), square.shape[1]
        )
        if excluded is not None:
            square[excluded] = np.inf
            pool_count[rows] -= excluded.sum(axis=1)
        near = _nearest(square, left_error, right_error, limit[rows], n_neighbours, drop_zero)
        distance = as_distance(square, metric)
        distance[near.target, near.image] = 0
        if excluded is not None:
            distance[excluded] = 0
        pool_sum[rows] = distance.sum(axis=1, dtype=np.float64)
        n_summed = pool_count[rows] - np.bincount(near.target, minlength=len(square))
        mean = pool_sum[rows] / np.maximum(n_summed, 1)
        parts = (left_error + right_error.mean()) / bound.product
        cancellation |= bool(((n_summed > 0) & (_as_square(mean, metric) < CANCELLATION * parts)).any())
        found.append(near.shifted(a, 0))
    return Selection(Pairs.joined(found), pool_sum, pool_count, cancellation)


def _excluded(self_columns: np.ndarray, groups: tuple[np.ndarray, np.ndarray] | None, n_cols: int) -> np.ndarray | None:
    rows = np.flatnonzero(self_columns >= 0)
    if groups is None and len(rows) == 0:
        return None
    excluded = np.zeros((len(self_columns), n_cols), dtype=bool)
    if groups is not None:
        np.not_equal(groups[0][:, None], groups[1], out=excluded)
    excluded[rows, self_columns[rows]] = True
    return excluded


def as_distance(square: np.ndarray, metric: str) -> np.ndarray:
    """Distances from (estimates of) their squares, or of twice the distance for cosine and correlation."""
    square = np.maximum(square, 0)
    return np.sqrt(square, out=square) if metric == "euclidean" else square / 2


def _as_square(distance: np.ndarray, metric: str) -> np.ndarray:
    return distance**2 if metric == "euclidean" else 2 * distance


def add_to_pool(
    pool_sum: np.ndarray, pool_count: np.ndarray, target: np.ndarray, distance: np.ndarray, *, drop_zero: bool
) -> None:
    """Add distances of pairs that were selected to the sums over the pool; if they do not count, take zeros away."""
    np.add.at(pool_sum, target, distance)
    if drop_zero:
        np.subtract.at(pool_count, target[distance == 0], 1)


def _nearest(
    square: np.ndarray, left_error: np.ndarray, right_error: np.ndarray, limit: np.ndarray, k: int, drop_zero: bool
) -> Pairs:
    left, right, most = (_rounded_up(part, square.dtype) for part in (left_error, right_error, limit))
    stays = square <= _rounded_up(limit + left_error, square.dtype)[:, None] + right
    target, image = _where(stays)
    many = np.flatnonzero(np.bincount(target, minlength=len(square)) > k)
    if len(many) and square.shape[1] > k:
        near = square[many]
        error = left[many, None] + right
        upper = near + error
        if drop_zero:
            # What may turn out to be 0, and then not count, limits nothing.
            upper[near <= error] = np.inf
        bar = upper.min(axis=1) if k == 1 else np.partition(upper, k - 1, axis=1)[:, k - 1]
        bar = np.minimum(_rounded_up(bar, square.dtype), most[many])
        stays[many] &= near <= bar[:, None] + error
        target, image = _where(stays)
    there = np.isfinite(square[target, image])
    target, image = target[there], image[there]
    return Pairs(target, image, square[target, image].astype(np.float64), left_error[target] + right_error[image])


def _where(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # What np.nonzero gives, 30 times as fast where little is set.
    return np.divmod(np.flatnonzero(matrix), matrix.shape[1])


def _rounded_up(limits: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Limits in another type, wide enough for the rounding of their conversion and of sums with another limit."""
    with np.errstate(over="ignore"):  # to infinity, which limits nothing
        return (limits * max(TIE, 1 + 4 * float(np.finfo(dtype).eps))).astype(dtype)


@dataclass
class Nearest:
    """The k nearest images of each target found so far.

    Attributes
    ----------
    distance, image
        Float64 and int64 (n_targets, k), nearest first, ties by position; infinite and -1 where there are fewer.
    """

    distance: np.ndarray
    image: np.ndarray

    @classmethod
    def empty(cls, n_targets: int, k: int) -> Nearest:
        """No neighbour yet."""
        return cls(np.full((n_targets, k), np.inf), np.full((n_targets, k), -1, dtype=np.int64))

    def limit(self, metric: str) -> np.ndarray:
        """Squared distance of the k-th best, (n_targets,); `select_candidates` allows for its rounding (`TIE`)."""
        return _as_square(self.distance[:, -1], metric)

    def update(self, target: np.ndarray, image: np.ndarray, distance: np.ndarray) -> None:
        """Take in pairs whose distance is known; a pair is taken in once only."""
        touched, first = np.unique(target, return_inverse=True)
        k = self.distance.shape[1]
        rows = np.concatenate([first, np.repeat(np.arange(len(touched)), k)])
        images = np.concatenate([image, self.image[touched].ravel()])
        distances = np.concatenate([distance, self.distance[touched].ravel()])
        order = np.lexsort((images, distances, rows))
        start = np.searchsorted(rows[order], np.arange(len(touched)))
        best = order[start[:, None] + np.arange(k)]
        self.distance[touched], self.image[touched] = distances[best], images[best]


def within_limit(pairs: Pairs, n_neighbours: int, *, drop_zero: bool) -> np.ndarray:
    """Positions of pairs that may be among the `n_neighbours` nearest of their target, (n_left,)."""
    upper = pairs.square + pairs.max_error
    if drop_zero:
        upper = np.where(pairs.square - pairs.max_error <= 0, np.inf, upper)
    order = np.lexsort((upper, pairs.target))
    _, start, of = np.unique(pairs.target[order], return_index=True, return_inverse=True)
    end = np.append(start[1:], len(order))
    last = start + n_neighbours - 1
    bar = np.where(last < end, upper[order][np.minimum(last, len(order) - 1)], np.inf) * TIE
    stays = np.zeros(len(pairs), dtype=bool)
    stays[order] = (pairs.square - pairs.max_error)[order] <= bar[of]
    return np.flatnonzero(stays)
