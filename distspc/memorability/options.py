"""Settings of a correlation, and the words that they may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

Method = Literal["pearson", "spearman"]
Interval = Literal["percentile", "bca"]
Names = str | Sequence[str]

METHODS: tuple[Method, ...] = get_args(Method)
INTERVALS: tuple[Interval, ...] = get_args(Interval)


class Sampling(TypedDict):
    """Keywords of `distspc.correlate` about its resamples."""

    n_bootstrap: int
    random_state: int | None
    interval: Interval


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

    @property
    def sampling(self) -> Sampling:
        """What the correlation of columns takes of it, by keyword."""
        return {"n_bootstrap": self.n_bootstrap, "random_state": self.random_state, "interval": self.interval}
