"""Groups of images, such as categories: their means taken out of columns, without a dummy variable for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Groups:
    """Which group each image belongs to.

    Attributes
    ----------
    code
        Number of each image's group, from 0, none without images; shape (images,).
    order, starts
        Images sorted by group, and where each group begins among them.
    """

    code: np.ndarray
    order: np.ndarray
    starts: np.ndarray

    @property
    def n(self) -> int:
        """Number of groups."""
        return len(self.starts)

    def sums(self, values: Floats) -> Floats:
        """Sums over each group of values (images, columns): shape (groups, columns)."""
        return np.asarray(np.add.reduceat(values[self.order], self.starts, axis=0))

    def centred(self, values: Floats) -> Floats:
        """Values (images, columns) less the mean of their group."""
        return np.asarray(values - (self.sums(values) / self._sizes()[:, None])[self.code])

    def weighted_centred(self, counts: Floats, values: Floats) -> Floats:
        """Values (images, resamples) less the mean of their group in each resample; counts have the same shape."""
        sizes = self.sums(counts)
        means = self.sums(counts * values) / np.where(sizes > 0, sizes, 1.0)
        return np.asarray(values - means[self.code])

    def between(self, rows: Floats) -> Floats:
        """Sum of squares that the groups' means explain of each row (rows, images): shape (rows,)."""
        sums = np.add.reduceat(rows[:, self.order], self.starts, axis=1)
        return np.asarray((sums**2 / self._sizes()).sum(axis=1))

    def _sizes(self) -> Floats:
        return np.diff(np.append(self.starts, len(self.code))).astype(float)


def groups_of(labels: np.ndarray) -> Groups:
    """Group images by their labels, shape (images,).

    Examples
    --------
    >>> groups_of(np.array(["b", "a", "b"])).code.tolist()
    [1, 0, 1]
    """
    _, code = np.unique(labels, return_inverse=True)
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    return Groups(code, order, starts)


def one_group(n: int) -> Groups:
    """All images in one group: its mean alone."""
    return groups_of(np.zeros(n, dtype=int))
