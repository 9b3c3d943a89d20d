"""Features standardised over images: mean and standard deviation by two passes, then ``(x - mean) / sd``.

Sums are float64 and go through the images one after the other, so that they are the same to the last bit whichever
features are taken together. What is standardised is rounded to float32 once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def add_rows(total: np.ndarray, rows: np.ndarray) -> None:
    """Add rows to a sum, in place.

    Parameters
    ----------
    total
        float64 (features,).
    rows
        (images, features), finite.
    """
    for row in rows:
        total += row


def add_squares(total: np.ndarray, rows: np.ndarray, mean: np.ndarray) -> None:
    """Add the squared deviations of rows from a mean to a sum, in place.

    Parameters
    ----------
    total, mean
        float64 (features,).
    rows
        (images, features), finite.
    """
    square = np.empty_like(total)
    for row in rows:
        np.subtract(row, mean, out=square)
        np.multiply(square, square, out=square)
        total += square


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of features over images.

    Attributes
    ----------
    mean, sd
        float64 (features,); `sd` has ddof 0, and is 0 where a feature is constant.
    """

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of_sums(cls, mean: np.ndarray, squares: np.ndarray, n_images: int) -> Moments:
        """Moments of features with a mean and a sum of squared deviations from it.

        A constant feature has an `sd` of exactly 0: sums of up to 2**29 equal float32 numbers have no rounding.
        """
        return cls(mean, np.sqrt(squares / n_images))

    @property
    def n_constant(self) -> int:
        """Number of features that are the same in all images."""
        return int(np.count_nonzero(self.sd == 0))

    def standardise(self, rows: np.ndarray) -> None:
        """Make rows ``(x - mean) / sd``, in place: computed in float64, rounded once; 0 where a feature is constant.

        Parameters
        ----------
        rows
            float32 (images, features).
        """
        divisor, exact = np.where(self.sd == 0, 1.0, self.sd), np.empty_like(self.mean)
        for row in rows:
            np.subtract(row, self.mean, out=exact)
            np.divide(exact, divisor, out=row, casting="same_kind")
