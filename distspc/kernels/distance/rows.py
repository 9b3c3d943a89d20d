"""Sums over the features of rows, and digests that tell equal rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distspc.kernels.threads import in_threads

BLOCK = 512
"""Features of one float64 block sum; divides every convolutional layer, so feature tiles never cut a block."""
SPAN = 128 * BLOCK
"""Features of a long row that are worked on at once."""
_HASH_SEED = 20_240


@dataclass(frozen=True)
class RowStatistics:
    """Sums over features, one value a row, in float64; those of two feature tiles add up.

    Attributes
    ----------
    n_features
        Number of features summed.
    sum, norm_sq
        Sum of the entries and of their squares, shape (n_rows,).
    centred_norm_sq, dot_centre
        Sum of squares of v = x - c; dot product of v with c. Shape (n_rows,).
    digest
        64-bit digest of the row, uint64 (n_rows,): equal rows have equal digests.
    centre_norm_sq
        c . c.
    blocks
        Sums of squares of the blocks of `BLOCK` features that `norm_sq` adds up, (n_rows, n_blocks), where they are
        kept: a whole row's `norm_sq` is then the same number however it was cut (`joined_norm_sq`).
    """

    n_features: int
    sum: np.ndarray
    norm_sq: np.ndarray
    centred_norm_sq: np.ndarray
    dot_centre: np.ndarray
    digest: np.ndarray
    centre_norm_sq: float
    blocks: np.ndarray | None = None

    def __add__(self, other: RowStatistics) -> RowStatistics:
        return RowStatistics(
            n_features=self.n_features + other.n_features,
            sum=self.sum + other.sum,
            norm_sq=self.norm_sq + other.norm_sq,
            centred_norm_sq=self.centred_norm_sq + other.centred_norm_sq,
            dot_centre=self.dot_centre + other.dot_centre,
            digest=self.digest + other.digest,
            centre_norm_sq=self.centre_norm_sq + other.centre_norm_sq,
            blocks=_beside(self.blocks, other.blocks),
        )

    @property
    def joined_norm_sq(self) -> np.ndarray:
        """Sums of squares of rows whose blocks were kept, in the order of whole rows, (n_rows,)."""
        if self.blocks is None:
            return self.norm_sq
        rest = np.zeros((len(self.blocks), int(self.n_features % BLOCK == 0)))
        return np.concatenate([self.blocks, rest], axis=1).sum(axis=-1)

    @staticmethod
    def joined(parts: Sequence[RowStatistics]) -> RowStatistics:
        """Statistics of rows one below the other, over the same features."""
        return parts[0]._with_rows(lambda name: np.concatenate([getattr(part, name) for part in parts]))

    def __getitem__(self, rows: slice | np.ndarray) -> RowStatistics:
        return self._with_rows(lambda name: getattr(self, name)[rows])

    def _with_rows(self, value: Callable[[str], np.ndarray]) -> RowStatistics:
        """These statistics with other rows."""
        names = _BY_ROW if self.blocks is None else (*_BY_ROW, "blocks")
        by_row: dict[str, Any] = {name: value(name) for name in names}
        return replace(self, **by_row)


_BY_ROW = ("sum", "norm_sq", "centred_norm_sq", "dot_centre", "digest")


def _beside(left: np.ndarray | None, right: np.ndarray | None) -> np.ndarray | None:
    return None if left is None or right is None else np.concatenate([left, right], axis=1)


def row_statistics(
    x: np.ndarray,
    *,
    centre: np.ndarray | None = None,
    first_feature: int = 0,
    keep_blocks: bool = False,
    n_threads: int = 1,
) -> RowStatistics:
    """Sums and digest of every row; turns -0.0 into 0.0 in `x`, so that equal rows have equal bits.

    Parameters
    ----------
    x
        Float32 (n_rows, n_features), C-contiguous, written to.
    centre
        Float32 (n_features,): c. Zero by default.
    first_feature
        Position of the first feature in the whole row: tells the digests of feature tiles apart.
    keep_blocks
        Whether the statistics have `blocks`, for feature tiles that are added up.
    """
    n_rows, n_features = x.shape
    blocks = np.empty((n_rows, -(-n_features // BLOCK))) if keep_blocks else None
    keys = _digest_keys(n_features, first_feature)
    sums = np.zeros((4, n_rows))
    digest = np.zeros(n_rows, dtype=np.uint64)
    centre64 = None if centre is None else centre.astype(np.float64)
    step = rows_at_once(n_features)

    # A row with NaN or infinite entries gets a sum that is not finite: that is how the caller finds it.
    @np.errstate(invalid="ignore", over="ignore")
    def work(start: int, stop: int) -> None:
        buffer = np.empty((step, n_features))
        for a in range(start, stop, step):
            rows = slice(a, min(a + step, stop))
            values = buffer[: rows.stop - a]
            np.add(x[rows], np.float32(0), out=x[rows])
            digest[rows] = _digests(x[rows], keys)
            np.copyto(values, x[rows])
            squares = block_dots(values, values)
            sums[0, rows], sums[1, rows] = values.sum(axis=1), squares.sum(axis=-1)
            if blocks is not None:
                blocks[rows] = squares[:, : blocks.shape[1]]
            if centre64 is not None:
                np.subtract(values, centre64, out=values)
                sums[2, rows], sums[3, rows] = _dots(values, values), _dots(values, centre64)

    in_threads(work, n_rows, n_threads)
    return RowStatistics(
        n_features=n_features,
        sum=sums[0],
        norm_sq=sums[1],
        centred_norm_sq=sums[1].copy() if centre64 is None else sums[2],
        dot_centre=sums[3],
        digest=digest,
        centre_norm_sq=0.0 if centre64 is None else float(_dots(centre64, centre64)),
        blocks=blocks,
    )


def rows_at_once(n_features: int) -> int:
    """Rows to work on at once.

    Many let threads run side by side (a short NumPy call holds them up at the interpreter's lock), few keep the
    float64 copies in the processor's cache.
    """
    return max(1, 8 * SPAN // n_features)


def _dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return block_dots(a, b).sum(axis=-1)


def block_dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Dot products of blocks of `BLOCK` features: a sharper bound than one long sum, and the same however tiled."""
    whole = a.shape[-1] // BLOCK * BLOCK
    blocks = [values[..., :whole].reshape(*values.shape[:-1], -1, BLOCK) for values in (a, b)]
    rest = np.vecdot(a[..., whole:], b[..., whole:])
    return np.concatenate([np.vecdot(*blocks), rest[..., None]], axis=-1)


def _digest_keys(n_features: int, first_feature: int) -> np.ndarray:
    rng = np.random.default_rng([_HASH_SEED, first_feature])
    return rng.integers(0, 2**64, size=n_features // 2 + 1, dtype=np.uint64) | np.uint64(1)


def _digests(rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
    # Multilinear hashing: sum of word x random odd key, modulo 2^64. Different rows collide with a probability of
    # 2^-64 times the power of two that divides all differences of their words.
    even = rows.shape[1] // 2 * 2
    digests = np.vecdot(_mixed(rows[:, :even].view(np.uint64)), keys[: even // 2])
    if even < rows.shape[1]:
        digests = digests + _mixed(rows[:, even:].view(np.uint32).astype(np.uint64))[:, 0] * keys[-1]
    return np.asarray(digests)


def _mixed(words: np.ndarray) -> np.ndarray:
    # One to one, high bits into low ones: small whole numbers and float16 values have zeros there, so that without it
    # their differences would share a high power of two.
    mixed = words ^ (words >> np.uint64(32))
    mixed ^= mixed >> np.uint64(16)
    return np.asarray(mixed)
