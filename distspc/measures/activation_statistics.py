"""Activation statistics: how strongly, how sparsely and how evenly the units of a layer respond to an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy  # its parts are imported at first use: scipy.special takes long

from distspc.measures.base import ByImage, Column

_SILENT = "where all activations are 0"


class ActivationStatistics(ByImage):
    """Mean, maximum, L1 norm, share of active units, sparseness and entropy of the activations of a layer.

    With activations a_1 .. a_n of an image, as the network gives them (never standardised):

    - ``activation_mean``, ``activation_max``: mean and maximum of a; ``activation_l1``: sum of |a|;
    - ``active_share``: share of units with a > 0;
    - ``treves_rolls``: (sum |a| / n)^2 / (sum a^2 / n), from 1 / n (one unit responds) to 1 (all alike): *smaller* is
      sparser (Treves & Rolls 1991);
    - ``hoyer``: (sqrt(n) - L1 / L2) / (sqrt(n) - 1), from 0 (all alike) to 1 (one unit): larger is sparser (Hoyer
      2004);
    - ``activation_entropy``: -sum p ln p of p = a / sum a, in nats, up to ln n (all alike).

    Where all are 0, sparseness and entropy are NaN; where any is negative, the entropy is: such activations are no
    distribution. The L2 norm is the column ``norm`` of the distances.
    """

    word = "activation-statistics"
    columns = (
        Column("activation_mean", "mean activation", "activate the units more", "activation"),
        Column("activation_max", "maximum activation", "have a higher peak of activation", "activation"),
        Column("activation_l1", "L1 norm", "activate the units more", "activation"),
        Column("active_share", "share of active units", "activate more units"),
        Column("treves_rolls", "Treves-Rolls sparseness", "are coded less sparsely", undefined=_SILENT),
        Column("hoyer", "Hoyer sparseness", "are coded more sparsely", undefined=_SILENT),
        Column("activation_entropy", "entropy of activations", "spread activation over more units", "nat",
               undefined="where activations are negative, or all are 0"),
    )  # fmt: skip
    source = "Takmaz, Gatt & Dotlacil 2025; Jaegle et al. 2019; Treves & Rolls 1991; Hoyer 2004"

    def of_image(self, values: np.ndarray, options: Any = None) -> Sequence[float]:
        """Measure one image.

        Parameters
        ----------
        values
            Activations (features,), finite.
        options
            None are needed.

        Returns
        -------
        list of float
            One for each column, in their order.
        """
        a = np.asarray(values, np.float64)
        total, l1, squares = float(a.sum()), float(np.abs(a).sum()), float(a @ a)
        treves_rolls, hoyer = _sparseness(l1, squares, a.size)
        entropy = _entropy(a, total) if total > 0 and a.min() >= 0 else np.nan
        return [total / a.size, float(a.max()), l1, np.count_nonzero(a > 0) / a.size, treves_rolls, hoyer, entropy]


def _sparseness(l1: float, squares: float, n: int) -> tuple[float, float]:
    """Treves-Rolls and Hoyer sparseness of n numbers, from their L1 norm and sum of squares."""
    if squares == 0:
        return np.nan, np.nan
    ratio = float(np.clip(l1 / np.sqrt(squares), 1.0, np.sqrt(n)))  # of L1 to L2: rounding leaves these bounds
    return min(ratio**2 / n, 1.0), (np.sqrt(n) - ratio) / (np.sqrt(n) - 1) if n > 1 else np.nan


def _entropy(a: np.ndarray, total: float) -> float:
    p = a / total
    return max(0.0, -float(scipy.special.xlogy(p, p).sum()))


MEASURE = ActivationStatistics()
