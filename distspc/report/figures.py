"""Figures of a study: each function takes a table and returns a Matplotlib figure.

Nothing here touches pyplot or the user's settings. Colours are Okabe and Ito's; lines differ in marker and dash too, so
that they can be told apart in grey. Every figure is narrow enough to be read on a phone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from distspc.layers import by_model, layer_order, models_of, split_layer
from distspc.report.style import (
    FAINT,
    INK,
    STYLES,
    WIDTH,
    axis_label,
    in_report_style,
    plain_number,
    short_layers,
    style_of,
)
from distspc.report.upper_marks import draw_upper_marks
from distspc.results.measures import FIRST_COLUMNS, MEASURES, MODEL_MEASURES, pairs_of, zero_order_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_LINE, _MOST_TEXT = 62, 400  # characters


def _wrapped(text: str) -> str:
    """Text in lines that fit beside or above the axes; the middle of a very long one is left out."""
    text = text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT // 2]} … {text[-_MOST_TEXT // 2 :]}"
    return "\n".join(textwrap.wrap(text, _LINE)) if len(text) > _LINE else text


_MOST_BESIDE = 3  # networks


def _panels(figure: Figure, layers: Sequence[str]) -> list[tuple[Axes, list[str]]]:
    """Axes of each network and its layers: of several side by side, with their names and a common vertical axis."""
    networks = by_model(layers)
    if len(networks) < 2:
        return [(figure.subplots(), list(layers))]
    n_rows, n_columns = -(-len(networks) // _MOST_BESIDE), min(len(networks), _MOST_BESIDE)
    figure.set_figheight(figure.get_figheight() * n_rows + 0.6)
    widths = [max(len(own), 2) for own in networks.values()] if n_rows == 1 else None
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False, width_ratios=widths).ravel()
    for axes in grid[len(networks) :]:
        axes.axis("off")
    for axes, model in zip(grid, networks, strict=False):
        axes.set_title(_short(model), fontsize=9.5)
    return list(zip(grid, networks.values(), strict=False))


def _layer_ticks(axes: Axes, layers: Sequence[str]) -> None:
    """Names of layers below the axes: of one of several networks upright, without the network's."""
    if models_of(layers):
        axes.set_xticks(
            range(len(layers)),
            [_short(name) for name in short_layers([split_layer(layer)[0] for layer in layers])],
            rotation=90,
            fontsize=8,
        )
    else:
        axes.set_xticks(range(len(layers)), [name.replace("_", "\n") for name in short_layers(layers)], fontsize=9)


def _short(name: str, most: int = 22) -> str:
    """A name, the beginning of a long one left out: its end tells it from others."""
    return name if len(name) <= most else f"…{name[-most:]}"


def _title(figure: Figure, axes: Axes, panels: Sequence[Any], text: str) -> None:
    """Put the title above the axes, or above those of all networks."""
    if len(panels) > 1:
        figure.suptitle(text, x=0.02, ha="left", fontsize=10.5)
    else:
        axes.set_title(text)


@in_report_style
def correlation_by_layer(
    relations: pd.DataFrame,
    score: str,
    *,
    method: str = "pearson",
    measures: Sequence[str] = (),
    readout: pd.DataFrame | None = None,
) -> Figure:
    """Draw the correlation of each measure with one score over the layers, with 95 % bootstrap CIs.

    Parameters
    ----------
    relations
        Table of the relate stage; its zero-order rows of `method` and `score` are drawn.
    score
        Name of the score.
    method
        ``"pearson"`` or ``"spearman"``.
    measures
        Measures that are drawn, where they are there; one of the image itself is a level line. By default
        distinctiveness, reconstruction error, norm and the first column of every further measure.
    readout
        Table of readouts, drawn as upper marks beside the measures; none by default.
    """
    rows = zero_order_rows(relations, method=method)
    wanted = measures or (*MODEL_MEASURES, *FIRST_COLUMNS)
    rows = rows[(rows["score"] == score) & rows["measure"].isin(wanted)]
    measures = [name for name in wanted if name in set(rows["measure"])]
    layers = [layer for layer in layer_order(list(rows["layer"])) if layer]
    figure = Figure(figsize=(WIDTH, 3.5 + 0.22 * max(0, (len(measures) - 1) // 3)))
    panels = _panels(figure, layers)
    for axes, own in panels:
        _draw_correlations(axes, rows, own, measures)
        if readout is not None:
            draw_upper_marks(axes, readout, score, own)
    first = panels[0][0]
    first.set_ylabel("Pearson r" if method == "pearson" else "Spearman ρ")
    counts = sorted({int(n) for n in rows["n"]})
    images = plain_number(counts[0]) if len(counts) < 2 else f"{plain_number(counts[0])} to {plain_number(counts[-1])}"
    _title(figure, first, panels, _wrapped(f"correlation with {score}, 95 % CI, n = {images}"))
    drawn = {label: line for axes, _ in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    columns = min(len(measures), 3) or 1
    figure.legend(list(drawn.values()), list(drawn), loc="outside lower center", ncols=columns, fontsize=9)
    return figure


def _draw_correlations(axes: Axes, rows: pd.DataFrame, layers: Sequence[str], measures: Sequence[str]) -> None:
    """Draw the correlations of each measure at some layers, with their intervals."""
    axes.axhline(0, color=FAINT, linewidth=0.8)
    step = min(0.16, 0.7 / max(len(measures), 1))
    for i, measure in enumerate(measures):
        look, of_measure = style_of(measure), rows[rows["measure"] == measure]
        for r in of_measure[of_measure["layer"] == ""]["r"]:
            axes.axhline(r, color=look.color, linestyle=look.dash, linewidth=1.2, label=MEASURES[measure])
        part = of_measure[of_measure["layer"].isin(layers)].set_index("layer")
        if part.empty:
            continue
        x = np.array([layers.index(layer) for layer in part.index]) + step * (i - (len(measures) - 1) / 2)
        spread = np.abs(np.stack([part["r"] - part["ci_low"], part["ci_high"] - part["r"]]))
        axes.errorbar(x, part["r"], spread, color=look.color, marker=look.marker, linestyle=look.dash, linewidth=1.2,
                      markersize=5, elinewidth=1.6, label=MEASURES[measure])  # fmt: skip
    _layer_ticks(axes, layers)
    axes.set_xlim(-0.5, max(len(layers), 1) - 0.5)
    axes.grid(axis="y")


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
) -> Figure:
    """Draw a measure against a score, a dot per image, with histograms at the margins and the regression line.

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
    """
    rows, look = table[[measure, score]].dropna(), style_of(measure)
    figure = Figure(figsize=(WIDTH, 4.6))
    grid = figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 4.2))
    axes = figure.add_subplot(grid[1, 0])
    above, beside = figure.add_subplot(grid[0, 0], sharex=axes), figure.add_subplot(grid[1, 1], sharey=axes)
    x, y = rows[measure].to_numpy(), rows[score].to_numpy()
    axes.scatter(x, y, s=14 if len(x) < 500 else 7, color=look.color, alpha=0.35, linewidth=0, rasterized=True)
    if len(x) > 2 and np.ptp(x) > 0:
        slope, intercept = np.polyfit(x - x.mean(), y, 1)
        ends = np.array([x.min(), x.max()])
        axes.plot(ends, intercept + slope * (ends - x.mean()), color=INK, linewidth=1.4)
    axes.set_xlabel(axis_label(measure, scaled=scaled))
    axes.set_ylabel(_wrapped(score if label is None else label))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid()
    bins = int(np.clip(np.sqrt(len(x)), 8, 40))
    above.hist(x, bins=bins, color=look.color, alpha=0.75)
    beside.hist(y, bins=bins, color=FAINT, alpha=0.75, orientation="horizontal")
    for margin in (above, beside):
        margin.axis("off")
    title = ", ".join(text for text in (layer, note, f"n = {plain_number(len(x))}") if text)
    figure.suptitle(title, x=0.02, ha="left", fontsize=10.5)
    return figure


@in_report_style
def measure_matrix(wide: pd.DataFrame) -> Figure:
    """Draw the correlations of the measures of all layers with each other; the number is in each cell.

    Parameters
    ----------
    wide
        A row per image, a column (measure, layer) each.
    """
    wide = wide.loc[:, wide.columns.isin(MODEL_MEASURES, level="measure")]
    pairs = pairs_of(wide)
    order = sorted(range(len(pairs)), key=lambda i: list(MEASURES).index(pairs[i][0]))
    table = wide.iloc[:, order].corr()
    n = len(table)
    side = float(np.clip(0.45 * n + 1.6, 2.8, WIDTH))
    figure = Figure(figsize=(WIDTH, side * 0.98))
    axes = figure.subplots()
    small = float(np.clip(70 / max(n, 1), 3.6, 9))
    mesh = axes.pcolormesh(table.to_numpy(), vmin=-1, vmax=1, cmap="PuOr_r", edgecolors="white", linewidth=0.4)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    figure.colorbar(mesh, label="Pearson r", shrink=0.7)
    for (row, column), r in np.ndenumerate(table.to_numpy()):
        color = "white" if abs(r) > 0.6 else INK  # on the dark ends of the scale
        axes.text(column + 0.5, row + 0.5, _two_digits(r), ha="center", va="center", fontsize=small, color=color)
    several = len(by_model([layer for _, layer in pairs])) > 1
    shown = [_short(layer, 26) if several else layer for _, layer in pairs]
    names = [f"{_initial(pairs[i][0])} {shown[i]}" for i in order]
    ticks = np.arange(n) + 0.5
    axes.set_xticks(ticks, names, rotation=90, fontsize=min(small + 2, 9))
    axes.set_yticks(ticks, names, rotation=0, fontsize=min(small + 2, 9))
    axes.set(xlabel="", ylabel="")
    used = list(dict.fromkeys(pairs[i][0] for i in order))
    key = ", ".join(f"{_initial(name)}: {MEASURES[name]}" for name in used)
    axes.set_title(f"{key}; n = {plain_number(len(wide))}", fontsize=8.5, loc="left")
    return figure


def _initial(measure: str) -> str:
    return measure[0].upper()


def _two_digits(value: float) -> str:
    text = "" if not np.isfinite(value) else f"{value:.2f}".replace("0.", ".")
    return {"1.00": "1", "-1.00": "-1", "-.00": ".00"}.get(text, text)


@in_report_style
def reliability_over_seeds(pairs: Mapping[str, Sequence[float]], *, n_seeds: int, n: int) -> Figure:
    """Draw how well the reconstruction errors of two seeds agree: a dot per pair of seeds and its mean, by layer.

    Parameters
    ----------
    pairs
        Correlations between two seeds, for every pair, by layer.
    n_seeds, n
        Number of seeds and of images.
    """
    figure = Figure(figsize=(WIDTH, 3.1))
    panels = _panels(figure, layer_order(list(pairs)))
    low = min((min(values) for values in pairs.values()), default=0.0)
    for axes, own in panels:
        _draw_agreement(axes, pairs, own)
        axes.set(xlim=(-0.5, len(own) - 0.2), ylim=(min(0.0, low - 0.05), 1.03))
    first = panels[0][0]
    first.set_ylabel("Pearson r between two seeds")
    title = f"{n_seeds} seeds, n = {plain_number(n)} targets; bar: mean over pairs of seeds"
    _title(figure, first, panels, title)
    return figure


def _draw_agreement(axes: Axes, pairs: Mapping[str, Sequence[float]], layers: Sequence[str]) -> None:
    """Draw the correlations of every two seeds at some layers, and their means."""
    look = STYLES["reconstruction_error"]
    for i, layer in enumerate(layers):
        values = np.asarray(pairs[layer])
        axes.plot(np.full(len(values), i), values, marker="o", markersize=5, alpha=0.5, color=look.color, linestyle="")
        axes.plot([i - 0.22, i + 0.22], [values.mean()] * 2, color=INK, linewidth=2)
        axes.annotate(f"{values.mean():.2f}", (i + 0.26, values.mean()), fontsize=8.5, va="center")
    _layer_ticks(axes, layers)
    axes.grid(axis="y")


@in_report_style
def training_curves(curves: Mapping[str, np.ndarray]) -> Figure:
    """Draw the training error of the sparse codes against the batch.

    Parameters
    ----------
    curves
        Mean squared residual of each batch, array (seeds, batches), by layer.
    """
    figure = Figure(figsize=(WIDTH, 3.5))
    panels = _panels(figure, layer_order(list(curves)))
    for axes, own in panels:
        _draw_training(axes, curves, own)
    finite = np.concatenate([np.ravel(values) for values in curves.values()]) if curves else np.ones(1)
    for axes, _ in panels if np.nanmin(finite) > 0 else []:
        axes.set_yscale("log")
        _plain_log_ticks(axes)
    first = panels[0][0]
    first.set_ylabel("training error of the batch")
    n_seeds = max((len(np.atleast_2d(values)) for values in curves.values()), default=1)
    title = "training of the dictionaries" + (f", {n_seeds} seeds (the first is darker)" if n_seeds > 1 else "")
    _title(figure, first, panels, title)
    if len(panels) > 1:
        figure.set_figheight(figure.get_figheight() + 0.17 * max(len(own) for _, own in panels))  # for the names below
        for axes, _ in panels:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=8)
    else:
        figure.legend(loc="outside right center", fontsize=8.5)
    return figure


def _draw_training(axes: Axes, curves: Mapping[str, np.ndarray], layers: Sequence[str]) -> None:
    """Draw the training error at some layers, the first seed darker."""
    colors = mpl.colormaps["cividis"](np.linspace(0, 0.88, max(len(layers), 2)))
    for i, layer in enumerate(layers):
        name = _short(split_layer(layer)[0]) if models_of(layers) else layer
        for j, line in enumerate(np.atleast_2d(curves[layer])):
            axes.plot(np.arange(1, len(line) + 1), line, color=colors[i], linewidth=1.1, alpha=0.95 if j == 0 else 0.35,
                      linestyle=("-", "--", "-.", ":")[i % 4], label=name if j == 0 else None)  # fmt: skip
    axes.set_xlabel("batch")
    axes.grid()


def _plain_log_ticks(axes: Axes) -> None:
    """Numbers such as 0.02 beside the ticks of a logarithmic axis, also where it spans less than a decade."""
    low, high = axes.get_ylim()
    narrow = high / low < 30
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


@in_report_style
def distributions(table: pd.DataFrame, measure: str, *, scaled: bool = False) -> Figure:
    """Draw the distribution of a measure over the targets, a row per layer, each with its own axis.

    Parameters
    ----------
    table
        Tidy table: one row per target and layer.
    measure
        Column.
    scaled
        Whether features were standardised before the measure was taken.
    """
    known = table.dropna(subset=[measure])
    layers = layer_order(list(known["layer"]))
    figure = Figure(figsize=(WIDTH, 0.62 * len(layers) + 0.9))
    rows = figure.subplots(len(layers), 1, squeeze=False)[:, 0]
    for axes, layer in zip(rows, layers, strict=True):
        values = known.loc[known["layer"] == layer, measure].to_numpy()
        axes.hist(values, bins=int(np.clip(2 * np.sqrt(len(values)), 10, 60)), color=STYLES[measure].color, alpha=0.8)
        axes.axvline(np.median(values), color=INK, linewidth=1.2)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        zeros = int((values == 0).sum())
        name = "\n".join(map(_short, split_layer(layer))) if models_of([layer]) else layer
        text = name + (f"\n{zeros} at 0" if zeros else "")
        axes.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8.5)
    rows[-1].set_xlabel(axis_label(measure, scaled=scaled))
    n = known["image"].nunique()
    figure.suptitle(
        f"{MEASURES[measure]} by layer, n = {plain_number(n)}; line: median", x=0.02, ha="left", fontsize=10.5
    )
    return figure


class GalleryImage(NamedTuple):
    """One image of a gallery, with what stands under it; None where the file is not found."""

    pixels: np.ndarray | None
    caption: str


@in_report_style
def gallery(rows: Sequence[Sequence[GalleryImage]], *, title: str) -> Figure:
    """Draw images in rows, such as targets beside their nearest neighbours.

    Parameters
    ----------
    rows
        Pictures by row; rows may differ in length.
    title
        Title of the figure.
    """
    n_columns = max((len(row) for row in rows), default=1)
    figure = Figure(figsize=(max(WIDTH, 1.15 * n_columns), 1.5 * len(rows) + 0.4))
    grid = figure.subplots(max(len(rows), 1), n_columns, squeeze=False)
    for axes in grid.ravel():
        axes.axis("off")
    for row, places in zip(rows, grid, strict=True):
        for picture, axes in zip(row, places, strict=False):
            if picture.pixels is None:
                axes.text(0.5, 0.5, "file not found", ha="center", va="center", color=FAINT, transform=axes.transAxes)
            else:
                axes.imshow(picture.pixels)
            axes.set_title(picture.caption, fontsize=7, loc="center", pad=3)
    figure.suptitle(title, x=0.02, ha="left", fontsize=10.5)
    return figure
