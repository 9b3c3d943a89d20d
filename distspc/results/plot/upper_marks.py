"""Upper marks in the figure by layer: how well a score is read out of activations, and predicted by others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from distspc.results.plot.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES: tuple[Any, ...] = (":", (0, (5, 1)), (0, (5, 1, 1, 1)), (0, (5, 1, 1, 1, 1, 1)))
"""Of the lines across, in their order."""


def draw_upper_marks(axes: Axes, readout: pd.DataFrame, score: str, layers: Sequence[str]) -> None:
    """Draw how well a score is read out of each layer, with 95 % CI, and of what has no layer as lines across.

    Readouts that predict no better than the mean are left out.

    Parameters
    ----------
    axes
        Axes whose layers are at 0, 1, 2, ...
    readout
        Table of readouts.
    score
        The score.
    layers
        The layers of the axes.
    """
    rows = readout[(readout["score"] == score) & np.isfinite(readout["r"].astype(float))]
    label: str | None = "linear readout"
    for row in rows[(rows["kind"] == "activations") & (rows["r2"] > 0)].to_dict("records"):
        if row["layer"] in layers:
            ends = layers.index(row["layer"]) + np.array([-0.36, 0.36])
            axes.fill_between(ends, row["ci_low"], row["ci_high"], color=INK, alpha=0.09, linewidth=0)
            axes.plot(ends, [row["r"]] * 2, color=INK, linewidth=2, solid_capstyle="butt", label=label)
            label = None
    lines = {f"{row['name']}": row["r"] for row in rows[rows["kind"] == "prediction"].to_dict("records")}
    together = rows[(rows["kind"] == "measures") & (rows["layer"] == "all") & (rows["r2"] > 0)]
    lines = dict.fromkeys(["all measures"] if len(together) else [], together["r"].max()) | lines
    for (name, r), dash in zip(lines.items(), itertools.cycle(_DASHES)):
        axes.axhline(r, color=INK, linewidth=1, linestyle=dash, label=name)
