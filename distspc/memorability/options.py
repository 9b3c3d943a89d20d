"""The words that the settings of a correlation may take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Method = Literal["pearson", "spearman"]
Interval = Literal["percentile", "bca"]
Names = str | Sequence[str]

METHODS: tuple[Method, ...] = ("pearson", "spearman")
