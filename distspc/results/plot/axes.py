"""Figures of a study on Matplotlib axes: each function draws a table on axes that it is given.

Nothing here touches pyplot. Colours are Okabe and Ito's; lines differ in marker and dash too, so that they can be told
apart in grey.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from distspc.layers import by_model, layer_order, models_of, split_layer
from distspc.results.measures import FIRST_COLUMNS, MEASURES, MODEL_MEASURES, pairs_of, zero_order_rows
from distspc.results.plot.style import FAINT, INK, STYLES, axis_label, plain_number, short_layers, style_of
from distspc.results.plot.upper_marks import draw_upper_marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_LINE, _MOST_TEXT = 62, 400  # characters
_ABOVE = 1.23  # upper end of the histogram above a scatter plot, in heights of its axes
_ROW_SHARE = 0.62  # of the height of a row, for its histogram; the rest is for the numbers below


def wrapped(text: str) -> str:
    """Text in lines that fit beside or above the axes; the middle of a very long one is left out."""
    text = text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT // 2]} … {text[-_MOST_TEXT // 2 :]}"
    return "\n".join(textwrap.wrap(text, _LINE)) if len(text) > _LINE else text


def short_name(name: str, most: int = 22) -> str:
    """A name, the beginning of a long one left out: its end tells it from others."""
    return name if len(name) <= most else f"…{name[-most:]}"


def _layer_ticks(axes: Axes, layers: Sequence[str]) -> None:
    """Names of layers below the axes: of one network of several upright, without the network's."""
    networks = models_of(layers)
    if not networks:
        axes.set_xticks(range(len(layers)), [name.replace("_", "\n") for name in short_layers(layers)], fontsize=9)
        return
    own = [short_name(name) for name in short_layers([split_layer(layer)[0] for layer in layers])]
    if len(networks) > 1:
        own = [f"{name}, {short_name(split_layer(layer)[1])}" for name, layer in zip(own, layers, strict=True)]
    axes.set_xticks(range(len(layers)), own, rotation=90, fontsize=8)


def shown_measures(relations: pd.DataFrame, score: str, method: str, measures: Sequence[str] = ()) -> list[str]:
    """Measures that the figure by layer has: those wanted, or the common ones, where they are there."""
    rows = zero_order_rows(relations, method=method)
    there = set(rows.loc[rows["score"] == score, "measure"])
    return [name for name in (measures or (*MODEL_MEASURES, *FIRST_COLUMNS)) if name in there]


def draw_correlations(
    axes: Axes,
    relations: pd.DataFrame,
    score: str,
    *,
    method: str = "pearson",
    measures: Sequence[str] = (),
    readout: pd.DataFrame | None = None,
    layers: Sequence[str] | None = None,
) -> None:
    """Draw the correlation of each measure with one score over the layers, with 95 % bootstrap CIs.

    Parameters
    ----------
    axes
        Where to draw.
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
    layers
        Layers that are drawn; all by default.
    """
    measures = shown_measures(relations, score, method, measures)
    rows = zero_order_rows(relations, method=method)
    rows = rows[(rows["score"] == score) & rows["measure"].isin(measures)]
    layers = [layer for layer in layer_order(list(rows["layer"])) if layer] if layers is None else list(layers)
    _draw_lines(axes, rows, layers, measures)
    if readout is not None:
        draw_upper_marks(axes, readout, score, layers)
    axes.set_ylabel("Pearson r" if method == "pearson" else "Spearman ρ")
    counts = sorted({int(n) for n in rows["n"]}) or [0]
    images = plain_number(counts[0]) if len(counts) < 2 else f"{plain_number(counts[0])} to {plain_number(counts[-1])}"
    axes.set_title(wrapped(f"correlation with {score}, 95 % CI, n = {images}"))


def _draw_lines(axes: Axes, rows: pd.DataFrame, layers: Sequence[str], measures: Sequence[str]) -> None:
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


def draw_scatter(
    axes: Axes,
    x: pd.Series,
    y: pd.Series,
    *,
    measure: str,
    title: str = "",
    label: str = "",
    scaled: bool = False,
    margins: bool = True,
) -> None:
    """Draw a measure against a score, a dot per image, with the regression line and histograms at the margins.

    Parameters
    ----------
    axes
        Where to draw.
    x, y
        Values of the measure and of the score, in the same order; images that miss one are left out.
    measure
        What is measured: names the axis, with its unit, and chooses the colour.
    title
        Text of the title; the number of images is added.
    label
        Name of the score.
    scaled
        Whether features were standardised before the measure was taken.
    margins
        Whether to draw the histograms.
    """
    look, known = style_of(measure), x.notna().to_numpy() & y.notna().to_numpy()
    values, scores = x.to_numpy(dtype=float)[known], y.to_numpy(dtype=float)[known]
    size = 14 if len(values) < 500 else 7
    axes.scatter(values, scores, s=size, color=look.color, alpha=0.35, linewidth=0, rasterized=True)
    if len(values) > 2 and np.ptp(values) > 0:
        slope, intercept = np.polyfit(values - values.mean(), scores, 1)
        ends = np.array([values.min(), values.max()])
        axes.plot(ends, intercept + slope * (ends - values.mean()), color=INK, linewidth=1.4)
    axes.set_xlabel(axis_label(measure, scaled=scaled))
    axes.set_ylabel(wrapped(label))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid()
    if margins:
        _draw_margins(axes, values, scores, look.color)
    text = wrapped(", ".join(text for text in (title, f"n = {plain_number(len(values))}") if text))
    axes.set_title(text, y=_ABOVE if margins else None)


def _draw_margins(axes: Axes, x: np.ndarray, y: np.ndarray, color: str) -> None:
    """Draw histograms above and beside the axes."""
    bins = int(np.clip(np.sqrt(len(x)), 8, 40))
    above = axes.inset_axes((0, 1.03, 1, _ABOVE - 1.03), sharex=axes)
    beside = axes.inset_axes((1.03, 0, 0.17, 1), sharey=axes)
    above.stairs(*np.histogram(x, bins), color=color, alpha=0.75, fill=True)
    beside.stairs(*np.histogram(y, bins), color=FAINT, alpha=0.75, fill=True, orientation="horizontal")
    for margin in (above, beside):
        margin.axis("off")


def draw_matrix(axes: Axes, wide: pd.DataFrame) -> None:
    """Draw the correlations of the measures of all layers with each other; the number is in each cell.

    Parameters
    ----------
    axes
        Where to draw; a colour bar is put beside them.
    wide
        A row per image, a column (measure, layer) each.
    """
    wide = wide.loc[:, wide.columns.isin(MODEL_MEASURES, level="measure")]
    pairs = sorted(pairs_of(wide), key=lambda pair: list(MEASURES).index(pair[0]))
    table = wide[pairs].corr().to_numpy()
    small = float(np.clip(70 / max(len(table), 1), 3.6, 9))
    mesh = axes.pcolormesh(table, vmin=-1, vmax=1, cmap="PuOr_r", edgecolors="white", linewidth=0.4)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.figure.colorbar(mesh, ax=axes, label="Pearson r", shrink=0.7)
    for (row, column), r in np.ndenumerate(table):
        color = "white" if abs(r) > 0.6 else INK  # on the dark ends of the scale
        axes.text(column + 0.5, row + 0.5, _two_digits(r), ha="center", va="center", fontsize=small, color=color)
    several = len(by_model([layer for _, layer in pairs])) > 1
    names = [f"{_initial(measure)} {short_name(layer, 26) if several else layer}" for measure, layer in pairs]
    axes.set_xticks(np.arange(len(table)) + 0.5, names, rotation=90, fontsize=min(small + 2, 9))
    axes.set_yticks(np.arange(len(table)) + 0.5, names, rotation=0, fontsize=min(small + 2, 9))
    key = ", ".join(f"{_initial(name)}: {MEASURES[name]}" for name in dict.fromkeys(name for name, _ in pairs))
    axes.set_title(f"{key}; n = {plain_number(len(wide))}", fontsize=8.5)


def _initial(measure: str) -> str:
    return measure[0].upper()


def _two_digits(value: float) -> str:
    text = "" if not np.isfinite(value) else f"{value:.2f}".replace("0.", ".")
    return {"1.00": "1", "-1.00": "-1", "-.00": ".00"}.get(text, text)


def draw_agreement(
    axes: Axes, pairs: Mapping[str, Sequence[float]], *, n_seeds: int, n: int, layers: Sequence[str] | None = None
) -> None:
    """Draw how well the reconstruction errors of two seeds agree: a dot per pair of seeds and its mean, by layer.

    Parameters
    ----------
    axes
        Where to draw.
    pairs
        Correlations between two seeds, for every pair, by layer.
    n_seeds, n
        Number of seeds and of images.
    layers
        Layers that are drawn; all by default.
    """
    look, layers = STYLES["reconstruction_error"], layer_order(list(pairs)) if layers is None else list(layers)
    for i, layer in enumerate(layers):
        values = np.asarray(pairs[layer])
        axes.plot(np.full(len(values), i), values, marker="o", markersize=5, alpha=0.5, color=look.color, linestyle="")
        axes.plot([i - 0.22, i + 0.22], [values.mean()] * 2, color=INK, linewidth=2)
        axes.annotate(f"{values.mean():.2f}", (i + 0.26, values.mean()), fontsize=8.5, va="center")
    _layer_ticks(axes, layers)
    axes.grid(axis="y")
    low = min((min(values) for values in pairs.values()), default=0.0)
    axes.set(xlim=(-0.5, len(layers) - 0.2), ylim=(min(0.0, low - 0.05), 1.03))
    axes.set_ylabel("Pearson r between two seeds")
    axes.set_title(f"{n_seeds} seeds, n = {plain_number(n)} targets; bar: mean over pairs of seeds")


def draw_training(axes: Axes, curves: Mapping[str, np.ndarray], *, layers: Sequence[str] | None = None) -> None:
    """Draw the training error of the sparse codes against the batch, the first seed darker.

    Parameters
    ----------
    axes
        Where to draw.
    curves
        Mean squared residual of each batch, array (seeds, batches), by layer.
    layers
        Layers that are drawn; all by default.
    """
    layers = layer_order(list(curves)) if layers is None else list(layers)
    colors = mpl.colormaps["cividis"](np.linspace(0, 0.88, max(len(layers), 2)))
    for i, layer in enumerate(layers):
        name = short_name(split_layer(layer)[0]) if len(models_of(layers)) == 1 else layer
        for j, line in enumerate(np.atleast_2d(curves[layer])):
            axes.plot(np.arange(1, len(line) + 1), line, color=colors[i], linewidth=1.1, alpha=0.95 if j == 0 else 0.35,
                      linestyle=("-", "--", "-.", ":")[i % 4], label=name if j == 0 else None)  # fmt: skip
    axes.set_xlabel("batch")
    axes.grid()
    if curves and np.nanmin(np.concatenate([np.ravel(values) for values in curves.values()])) > 0:
        axes.set_yscale("log")
        _plain_log_ticks(axes)
    axes.set_ylabel("training error of the batch")
    n_seeds = max((len(np.atleast_2d(values)) for values in curves.values()), default=1)
    axes.set_title("training of the dictionaries" + (f", {n_seeds} seeds (the first is darker)" * (n_seeds > 1)))


def _plain_log_ticks(axes: Axes) -> None:
    """Numbers such as 0.02 beside the ticks of a logarithmic axis, also where it spans less than a decade."""
    low, high = axes.get_ylim()
    narrow = high / low < 30
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def draw_distributions(axes: Axes, table: pd.DataFrame, measure: str, *, scaled: bool = False) -> None:
    """Draw the distribution of a measure over the targets, a row per layer, each with an axis of its own.

    Parameters
    ----------
    axes
        Where to draw; of several layers each has its own axes inside these (``axes.child_axes``).
    table
        Tidy table: one row per target and layer.
    measure
        Column.
    scaled
        Whether features were standardised before the measure was taken.
    """
    known = table.dropna(subset=[measure])
    layers = layer_order(list(known["layer"]))
    for row, layer in zip(_rows(axes, len(layers)), layers, strict=True):
        _draw_histogram(row, known.loc[known["layer"] == layer, measure].to_numpy(), measure, layer)
    axes.set_xlabel(axis_label(measure, scaled=scaled))
    n = known["image"].nunique()
    axes.set_title(f"{MEASURES[measure]} by layer, n = {plain_number(n)}; line: median")


def _rows(axes: Axes, n: int) -> list[Axes]:
    """Axes below one another in these, or these themselves for one row."""
    if n < 2:
        return [axes] * n
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    height = 1 / (n - 1 + _ROW_SHARE)
    axes.xaxis.labelpad = 20  # below the numbers of the lowest row
    return [axes.inset_axes((0, (n - 1 - i) * height, 1, _ROW_SHARE * height)) for i in range(n)]


def _draw_histogram(axes: Axes, values: np.ndarray, measure: str, layer: str) -> None:
    """Draw the distribution at one layer, whose name stands beside it."""
    bins = int(np.clip(2 * np.sqrt(len(values)), 10, 60))
    axes.stairs(*np.histogram(values, bins), color=style_of(measure).color, alpha=0.8, fill=True)
    axes.axvline(np.median(values), color=INK, linewidth=1.2)
    axes.set_yticks([])
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    zeros = int((values == 0).sum())
    name = "\n".join(map(short_name, split_layer(layer))) if models_of([layer]) else layer
    text = name + (f"\n{zeros} at 0" if zeros else "")
    axes.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8.5)


class GalleryImage(NamedTuple):
    """One image of a gallery, with what stands under it; None where the file is not found."""

    pixels: np.ndarray | None
    caption: str


def draw_gallery(axes: Axes, rows: Sequence[Sequence[GalleryImage]], *, title: str) -> None:
    """Draw images in rows, such as targets beside their nearest neighbours.

    Parameters
    ----------
    axes
        Where to draw; each image has its own axes inside these (``axes.child_axes``).
    rows
        Pictures by row; rows may differ in length.
    title
        Title of the figure.
    """
    axes.axis("off")
    n_columns = max((len(row) for row in rows), default=1)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            place = (j / n_columns, (len(rows) - 1 - i) / len(rows), 0.94 / n_columns, 0.78 / len(rows))
            _draw_picture(axes.inset_axes(place), picture)
    axes.set_title(title)


def _draw_picture(axes: Axes, picture: GalleryImage) -> None:
    axes.set(xticks=[], yticks=[])  # although they are not shown, titles would be placed beside them
    axes.axis("off")
    if picture.pixels is None:
        axes.text(0.5, 0.5, "file not found", ha="center", va="center", color=FAINT, transform=axes.transAxes)
    else:
        axes.imshow(picture.pixels)
    axes.set_title(picture.caption, fontsize=7, loc="center", pad=3)
