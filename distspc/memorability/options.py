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


@dataclass(frozen=True)
class ReadoutOptions:
    """How scores are read out of activations and measures.

    Attributes
    ----------
    n_folds
        Folds of the cross-validation.
    penalties
        Ridge penalties that are tried, over the mean squared distance of the features from their mean.
    random_state
        Seed of the folds.
    """

    n_folds: int = 10
    penalties: tuple[float, ...] = tuple(10.0 ** (half / 2) for half in range(-6, 9))
    random_state: int = 0
