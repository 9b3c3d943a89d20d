"""Settings of a correlation, and the words that they may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Method = Literal["pearson", "spearman"]
Interval = Literal["percentile", "bca"]
Names = str | Sequence[str]

METHODS: tuple[Method, ...] = get_args(Method)
INTERVALS: tuple[Interval, ...] = get_args(Interval)


@dataclass(frozen=True)
class RelateOptions:
    """How measures are related to scores.

    Attributes
    ----------
    n_bootstrap, interval, random_state
        Resamples, kind of interval, seed of the resamples.
    given
        Further controls, ``measure:layer``.
    """

    n_bootstrap: int = 1000
    interval: Interval = "percentile"
    given: tuple[str, ...] = ()
    random_state: int | None = 0
