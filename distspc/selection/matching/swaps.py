"""A set made to hold its limits by swapping images: what is left where the program finds no set in its time.

Images are swapped within a cell for others with the same labels, one at a time, each time for the one by which the
limits are exceeded least; then, as long as all limits hold, for the one that separates the factors most. The limits are
the real ones, not their linear stand-ins. Nothing is proven: there may be better sets, and where none is found there
may be one.
"""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np

from distspc.selection.matching.levels import Candidates
from distspc.selection.options import Limits

_WITHIN = 0.999  # of each limit, against rounding
_TINY = 1e-12
_SHAKEN = 4  # one image of so many


class Swaps:
    """A set of images with the sums that its limits rest on.

    Parameters
    ----------
    candidates, limits
        What may be selected, how alike cells have to be.
    chosen
        The set to begin with, bool (n_images,): cells full, labels in equal counts, near-duplicates apart.
    gain
        What each image adds to the separation of the factors, (n_images,).
    """

    def __init__(self, candidates: Candidates, limits: Limits, chosen: np.ndarray, gain: np.ndarray) -> None:
        self._candidates, self._limits, self._gain = candidates, limits, gain
        self.chosen = chosen.copy()
        self._names = [*candidates.by, *candidates.covariates]
        values = candidates.table[self._names].to_numpy(float)
        self._values = (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)
        self._pairs = list(combinations(range(len(candidates.by)), 2))
        self._n = int(chosen.sum()) // len(candidates.cells)
        self._labels = _label_codes(candidates)
        self._in_clique = _clique_matrix(candidates)

    def run(self, rng: np.random.Generator, seconds: float) -> bool:
        """Swap until all limits hold and no swap separates the factors more; returns whether the limits hold."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self._pass(rng, end):
                if self.excess() <= 0:
                    break
                self._shake(rng)  # no swap helps any more: begin again from near here
        return self.excess() <= 0

    def _shake(self, rng: np.random.Generator) -> None:
        """Swap a part of the images for any that may take their places."""
        movable = rng.permutation(np.flatnonzero(self.chosen & ~self._candidates.must))
        for image in movable[: max(len(movable) // _SHAKEN, 1)]:
            others = self._others(int(image))
            if len(others):
                self.chosen[[image, rng.choice(others)]] = False, True

    def _pass(self, rng: np.random.Generator, end: float) -> bool:
        """Try to swap every image once; returns whether any was."""
        swapped = False
        movable = np.flatnonzero(self.chosen & ~self._candidates.must)
        for image in rng.permutation(movable):
            if time.monotonic() >= end:
                break
            swapped |= self._swap(int(image))
        return swapped

    def _swap(self, image: int) -> bool:
        """Swap an image for the one with which the set is best; returns whether there is one better than itself."""
        others = self._others(image)
        if not len(others):
            return False
        now, then = self.excess(), self._excess_with(image, others)
        least = then.min()
        if now > 0 or least > 0:
            best = int(others[np.argmin(then)])
            better = bool(least < now - _TINY)
        else:
            best = int(others[np.argmax(np.where(then <= 0, self._gain[others], -np.inf))])
            better = bool(self._gain[best] > self._gain[image] + _TINY)
        if better:
            self.chosen[[image, best]] = False, True
        return better

    def _others(self, image: int) -> np.ndarray:
        """Images that may take an image's place: of its cell and labels, and near no other of the set."""
        same = (self._candidates.cell == self._candidates.cell[image]) & (self._labels == self._labels[image])
        rest = self.chosen.copy()
        rest[image] = False
        taken = self._in_clique @ (rest @ self._in_clique > 0)
        return np.flatnonzero(same & ~self.chosen & (taken == 0))

    def excess(self) -> float:
        """By how much the set exceeds its limits, in units of these; 0 where all hold."""
        cell = self._candidates.cell[self.chosen]
        total, square = _sums(self._values[self.chosen], cell, len(self._candidates.cells))
        return float(self._excess(total[None], square[None], self._products(self.chosen)[None])[0])

    def _products(self, images: np.ndarray) -> np.ndarray:
        """Sums of products of two factors."""
        of = self._values[images]
        return np.array([of[:, i] @ of[:, j] for i, j in self._pairs])

    def _excess_with(self, image: int, others: np.ndarray) -> np.ndarray:
        """Excess of the set with each of some images in the place of one."""
        cell, values = self._candidates.cell, self._values
        total, square = _sums(values[self.chosen], cell[self.chosen], len(self._candidates.cells))
        totals, squares = (np.repeat(part[None], len(others), axis=0) for part in (total, square))
        totals[:, cell[image]] += values[others] - values[image]
        squares[:, cell[image]] += values[others] ** 2 - values[image] ** 2
        change = [values[others, i] * values[others, j] - values[image, i] * values[image, j] for i, j in self._pairs]
        products = self._products(self.chosen) + np.array(change).reshape(len(self._pairs), len(others)).T
        return self._excess(totals, squares, products)

    def _excess(self, totals: np.ndarray, squares: np.ndarray, products: np.ndarray) -> np.ndarray:
        """Excess of several sets, from their sums (n_sets, n_cells, n_columns) and (n_sets, n_pairs)."""
        mean = totals / self._n
        variance = np.maximum(squares - self._n * mean**2, _TINY) / (self._n - 1)
        excess = np.zeros(len(totals))
        for k in range(len(self._candidates.by)):
            for cells in self._candidates.alike(k):
                excess += _over(np.ptp(mean[:, cells, k], axis=1), self._limits.max_smd)
        for k in range(len(self._candidates.by), len(self._names)):
            spread = np.sqrt((variance[:, :, None, k] + variance[:, None, :, k]) / 2)
            differences = np.abs(mean[:, :, None, k] - mean[:, None, :, k]) / spread
            excess += _over(differences.max(axis=(1, 2)), self._limits.max_smd)
            excess += _over(variance[:, :, k].max(axis=1) / variance[:, :, k].min(axis=1), self._limits.ratio)
        for at, (i, j) in enumerate(self._pairs):
            n = self._n * mean.shape[1]
            centre = totals.sum(axis=1) / n
            sd = np.sqrt(np.maximum(squares.sum(axis=1) / n - centre**2, _TINY))
            r = (products[:, at] / n - centre[:, i] * centre[:, j]) / (sd[:, i] * sd[:, j])
            excess += _over(np.abs(r), self._limits.max_correlation)
        return excess


def _over(values: np.ndarray, limit: float) -> np.ndarray:
    return np.maximum(values / (limit * _WITHIN if limit < 1 else 1 + (limit - 1) * _WITHIN) - 1, 0)


def _sums(values: np.ndarray, cell: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums and sums of squares of each column in each cell, (n_cells, n_columns)."""
    one_hot = np.eye(n_cells)[cell]
    return one_hot.T @ values, one_hot.T @ values**2


def _label_codes(candidates: Candidates) -> np.ndarray:
    """A number for each combination of labels."""
    if not candidates.categories:
        return np.zeros(len(candidates.cell), int)
    joined = candidates.table[list(candidates.categories)].astype(str).agg("\0".join, axis=1)
    return np.asarray(np.unique(joined, return_inverse=True)[1])


def _clique_matrix(candidates: Candidates) -> np.ndarray:
    """Which image is in which clique of near-duplicates, (n_images, n_cliques)."""
    matrix = np.zeros((len(candidates.cell), len(candidates.cliques)), np.int32)
    for i, clique in enumerate(candidates.cliques):
        matrix[clique, i] = 1
    return matrix
