"""Settings of a selection, and the words that they may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from distspc.errors import InputError

Split = Literal["quantiles", "outer-terciles"]
ImageFiles = Literal["copy", "link", "none"]

SPLITS: tuple[Split, ...] = get_args(Split)
MOST_FACTORS = 3


@dataclass(frozen=True)
class Limits:
    """How alike cells have to be.

    Attributes
    ----------
    max_smd
        Largest absolute standardised mean difference of a covariate between any two cells.
    variance_ratio
        Smallest and largest ratio of a covariate's variances between any two cells.
    max_correlation
        Largest absolute correlation of two factors over the selected images.
    """

    max_smd: float = 0.1
    variance_ratio: tuple[float, float] = (0.8, 1.25)
    max_correlation: float = 0.02

    def __post_init__(self) -> None:
        low, high = self.variance_ratio
        if not self.max_smd > 0:
            raise InputError(f"max-smd: expected a number above 0, got {self.max_smd:g}")
        if not 0 < low < 1 < high:
            raise InputError(f"variance-ratio: expected two numbers around 1, such as 0.8 1.25, got {low:g} {high:g}")
        if not 0 < self.max_correlation <= 1:
            raise InputError(f"max-correlation: expected a number above 0, at most 1, got {self.max_correlation:g}")

    @property
    def ratio(self) -> float:
        """Largest ratio of a larger to a smaller variance: both of `variance_ratio` hold for both orders of a pair."""
        low, high = self.variance_ratio
        return min(high, 1 / low)


@dataclass(frozen=True)
class Effort:
    """What the solver may spend.

    Attributes
    ----------
    seed
        Seed of the solver and of what breaks ties.
    time_limit
        Seconds for one selection.
    gap
        Relative distance from the proven bound at which a set counts as optimal.
    """

    seed: int = 0
    time_limit: float = 60.0
    gap: float = 0.01

    def __post_init__(self) -> None:
        if not (self.time_limit > 0 and 0 <= self.gap < 1 and self.seed >= 0):
            raise InputError(
                "expected a time limit above 0 s, a gap from 0 to below 1 and a seed of at least 0, "
                f"got {self.time_limit:g}, {self.gap:g} and {self.seed}"
            )


@dataclass(frozen=True)
class Design:
    """The cells of a factorial set.

    Attributes
    ----------
    by
        Factors, columns of numbers.
    per_cell
        Images of each cell.
    levels
        Levels of each factor.
    split
        ``quantiles``: levels of equally many images; ``outer-terciles``: the first and the last third.
    cuts
        Cut points of a factor, instead of quantiles; two of them with two levels leave the middle out.
    """

    by: tuple[str, ...]
    per_cell: int
    levels: int = 2
    split: Split = "quantiles"
    cuts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= len(self.by) <= MOST_FACTORS:
            raise InputError(f"expected one to three factors (--by), got {len(self.by)}")
        if len(set(self.by)) < len(self.by):
            raise InputError(f"a factor is named twice: {', '.join(self.by)}; name each once")
        if self.per_cell < 2 or self.levels < 2:
            raise InputError(f"expected at least 2 images per cell and 2 levels, got {self.per_cell} and {self.levels}")
        if self.split not in SPLITS:
            raise InputError(f"split: expected one of {', '.join(SPLITS)}, got {self.split!r}")
        if self.split == "outer-terciles" and self.levels != 2:
            raise InputError(f"outer-terciles are two levels, got --levels {self.levels}: leave one of the two out")
        others = [name for name in self.cuts if name not in self.by]
        if others:
            raise InputError(f"cut points of {', '.join(others)}, which is no factor: name it with --by as well")

    @property
    def n_cells(self) -> int:
        """Cells of the design."""
        return int(self.levels ** len(self.by))
