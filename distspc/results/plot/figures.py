"""Figures of the report: what `distspc.results.plot.axes` draws, on figures that can be read on a phone.

Each function takes a table and returns a Matplotlib figure; layers of several networks stand side by side. Nothing here
touches pyplot or the user's settings; `new` makes the figure, for who wants it to be pyplot's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from distspc.layers import by_model, layer_order
from distspc.results.measures import MODEL_MEASURES
from distspc.results.plot import axes as drawing
from distspc.results.plot.axes import GalleryImage, short_name, shown_measures
from distspc.results.plot.style import WIDTH, in_report_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

New = Callable[..., Figure]

_MOST_BESIDE = 3  # networks


def _panels(figure: Figure, layers: Sequence[str]) -> list[tuple[Axes, list[str]]]:
    """Axes of each network and its layers: of several side by side, with a common vertical axis."""
    networks = by_model(layers)
    if len(networks) < 2:
        return [(figure.subplots(), list(layers))]
    n_rows, n_columns = -(-len(networks) // _MOST_BESIDE), min(len(networks), _MOST_BESIDE)
    figure.set_figheight(figure.get_figheight() * n_rows + 0.6)
    widths = [max(len(own), 2) for own in networks.values()] if n_rows == 1 else None
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False, width_ratios=widths).ravel()
    for axes in grid[len(networks) :]:
        axes.axis("off")
    return list(zip(grid, networks.values(), strict=False))


def _name_networks(figure: Figure, panels: Sequence[tuple[Axes, list[str]]]) -> None:
    """Put the title above all panels, and above each the name of its network."""
    if len(panels) < 2:
        return
    figure.suptitle(panels[0][0].get_title(loc="left"), x=0.02, ha="left", fontsize=10.5)
    for i, (axes, own) in enumerate(panels):
        axes.set_title(short_name(next(iter(by_model(own)))), fontsize=9.5)
        axes.set_ylabel(axes.get_ylabel() if i == 0 else "")


@in_report_style
def correlation_by_layer(
    relations: pd.DataFrame,
    score: str,
    *,
    method: str = "pearson",
    measures: Sequence[str] = (),
    readout: pd.DataFrame | None = None,
    new: New = Figure,
) -> Figure:
    """Draw the correlation of each measure with one score over the layers: see `axes.draw_correlations`."""
    rows = relations[relations["score"] == score]
    measures = shown_measures(relations, score, method, measures)
    layers = [layer for layer in layer_order(list(rows.loc[rows["measure"].isin(measures), "layer"])) if layer]
    figure = new(figsize=(WIDTH, 3.5 + 0.22 * max(0, (len(measures) - 1) // 3)))
    panels = _panels(figure, layers)
    for axes, own in panels:
        drawing.draw_correlations(axes, relations, score, method=method, measures=measures, readout=readout, layers=own)
    _name_networks(figure, panels)
    drawn = {label: line for axes, _ in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    columns = min(len(measures), 3) or 1
    figure.legend(list(drawn.values()), list(drawn), loc="outside lower center", ncols=columns, fontsize=9)
    return figure


@in_report_style
def scatter(
    table: pd.DataFrame,
    measure: str,
    score: str,
    *,
    layer: str = "",
    note: str = "",
    label: str | None = None,
    scaled: bool = False,
    new: New = Figure,
) -> Figure:
    """Draw a measure against a score, a dot per image: see `axes.draw_scatter`.

    Parameters
    ----------
    table
        One row per image, with the two columns; rows with a missing value are left out.
    measure, score
        Columns.
    layer
        Name of the layer, for the title.
    note
        Further text of the title, such as the correlation.
    label
        Name of the score, if it is not its column's.
    scaled
        Whether features were standardised before the measure was taken.
    new
        Makes the figure.
    """
    figure = new(figsize=(WIDTH, 4.6))
    title = ", ".join(filter(None, (layer, note)))
    name = score if label is None else label
    drawing.draw_scatter(
        figure.subplots(), table[measure], table[score], measure=measure, title=title, label=name, scaled=scaled
    )
    return figure


@in_report_style
def measure_matrix(wide: pd.DataFrame, *, new: New = Figure) -> Figure:
    """Draw the correlations of the measures of all layers with each other: see `axes.draw_matrix`."""
    n = int(wide.columns.isin(MODEL_MEASURES, level="measure").sum())
    figure = new(figsize=(WIDTH, float(np.clip(0.45 * n + 1.6, 2.8, WIDTH)) * 0.98))
    drawing.draw_matrix(figure.subplots(), wide)
    return figure


@in_report_style
def reliability_over_seeds(pairs: Mapping[str, Sequence[float]], *, n_seeds: int, n: int, new: New = Figure) -> Figure:
    """Draw how well the reconstruction errors of two seeds agree: see `axes.draw_agreement`."""
    figure = new(figsize=(WIDTH, 3.1))
    panels = _panels(figure, layer_order(list(pairs)))
    for axes, own in panels:
        drawing.draw_agreement(axes, pairs, n_seeds=n_seeds, n=n, layers=own)
    _name_networks(figure, panels)
    return figure


@in_report_style
def training_curves(curves: Mapping[str, np.ndarray], *, new: New = Figure) -> Figure:
    """Draw the training error of the sparse codes against the batch: see `axes.draw_training`."""
    figure = new(figsize=(WIDTH, 3.5))
    panels = _panels(figure, layer_order(list(curves)))
    for axes, own in panels:
        drawing.draw_training(axes, curves, layers=own)
    _name_networks(figure, panels)
    if len(panels) < 2:
        figure.legend(loc="outside right center", fontsize=8.5)
        return figure
    figure.set_figheight(figure.get_figheight() + 0.17 * max(len(own) for _, own in panels))  # for the names below
    for axes, _ in panels:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=8)
    return figure


@in_report_style
def distributions(table: pd.DataFrame, measure: str, *, scaled: bool = False, new: New = Figure) -> Figure:
    """Draw the distribution of a measure over the targets, a row per layer: see `axes.draw_distributions`."""
    n_layers = table.loc[table[measure].notna(), "layer"].nunique()
    figure = new(figsize=(WIDTH, 0.62 * n_layers + 0.9))
    drawing.draw_distributions(figure.subplots(), table, measure, scaled=scaled)
    return figure


@in_report_style
def gallery(rows: Sequence[Sequence[GalleryImage]], *, title: str, new: New = Figure) -> Figure:
    """Draw images in rows, such as targets beside their nearest neighbours: see `axes.draw_gallery`."""
    n_columns = max((len(row) for row in rows), default=1)
    figure = new(figsize=(max(WIDTH, 1.15 * n_columns), 1.5 * len(rows) + 0.4))
    drawing.draw_gallery(figure.subplots(), rows, title=title)
    return figure
