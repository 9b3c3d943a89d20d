"""Figures of a selection: the factor plane with the chosen images, and distributions by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from distspc.results.plot.style import FAINT, INK, WIDTH, in_report_style, plain_number

if TYPE_CHECKING:
    from distspc.selection.selection import Selection

COLOURS = ("#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#f0e442", "#000000")
"""Okabe and Ito's."""
MARKERS = "osD^vP*X"


@in_report_style
def factor_plane(selection: Selection, x: str, y: str) -> Figure:
    """Draw all candidates in the plane of two factors, and the chosen images by cell."""
    figure = Figure(figsize=(WIDTH, 4.6))
    axes = figure.subplots()
    table = selection.candidates.table
    axes.scatter(table[x], table[y], s=5, color=FAINT, alpha=0.3, linewidth=0, rasterized=True)
    for i, cell in enumerate(selection.cells):
        part = selection.stimuli[selection.stimuli["cell"] == cell]
        axes.scatter(part[x], part[y], s=16, color=COLOURS[i % 8], marker=MARKERS[i % 8], linewidth=0.4,
                     edgecolor="white", label=cell)  # fmt: skip
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid()
    before, after = (r[x, y] for r in (selection.correlation_before, selection.correlation_after))
    axes.set_title(f"r = {before:.2f} over {plain_number(len(table))} candidates, {after:.3f} over the set")
    figure.legend(loc="outside lower center", ncols=min(len(selection.cells), 4), fontsize=9)
    return figure


@in_report_style
def distributions(selection: Selection, name: str) -> Figure:
    """Draw the values of one variable in each cell: a dot per image, the quartiles, and the mean."""
    figure = Figure(figsize=(WIDTH, 0.45 * len(selection.cells) + 1.3))
    axes = figure.subplots()
    parts = [selection.stimuli.loc[selection.stimuli["cell"] == cell, name].to_numpy(float) for cell in selection.cells]
    rng = np.random.default_rng(0)
    for i, values in enumerate(parts):
        at = i + rng.uniform(-0.22, 0.22, len(values))
        axes.scatter(values, at, s=7, color=COLOURS[i % 8], alpha=0.55, linewidth=0)
        low, high = np.quantile(values, [0.25, 0.75])
        axes.plot([low, high], [i, i], color=INK, linewidth=1.6)
        axes.plot(values.mean(), i, color=INK, marker="|", markersize=16)
    axes.set_yticks(range(len(parts)), list(selection.cells))
    axes.invert_yaxis()
    axes.set_xlabel(name)
    axes.grid(axis="x")
    axes.set_title("dots: images; bar: quartiles; stroke: mean")
    return figure
