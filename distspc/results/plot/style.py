"""How figures look."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

from distspc.measures.registry import COLUMNS
from distspc.results.measures import FIRST_COLUMNS, MEASURES

P = ParamSpec("P")

WIDTH = 5.4  # inches
_DPI = 200  # of figures as files
INK, FAINT = "#1b1f24", "#8a929c"

UNITS = {
    "distinctiveness": "distance to the nearest neighbour (activation)",
    "reconstruction_error": "reconstruction error\n(MSE; activations scaled by their 95th percentile)",
    "norm": "L2 norm of the activation",
    "mean_distance": "mean distance to the nearest neighbours (activation)",
    "pool_distance": "mean distance to all other images (activation)",
}


def axis_label(measure: str, *, scaled: bool = False) -> str:
    """Name a measure and its unit.

    Parameters
    ----------
    measure
        Column.
    scaled
        Whether features were standardised: distances are then in standard deviations.
    """
    label = UNITS.get(measure) or _further_label(measure)
    return label.replace("(activation)", "(standard deviations of the features)") if scaled else label


def _further_label(measure: str) -> str:
    column = COLUMNS.get(measure)
    if column is None:
        return measure
    return column.words if column.unit == "1" else f"{column.words} ({column.unit})"


class MeasureStyle(NamedTuple):
    """How a measure is drawn."""

    color: str
    marker: str
    dash: str


STYLES = {
    "distinctiveness": MeasureStyle("#0072b2", "o", "-"),
    "reconstruction_error": MeasureStyle("#d55e00", "s", "--"),
    "norm": MeasureStyle("#009e73", "^", ":"),
    "mean_distance": MeasureStyle("#56b4e9", "D", "-."),
    "pool_distance": MeasureStyle("#cc79a7", "v", (0, (3, 1, 1, 1))),  # type: ignore[arg-type]
}

_COLORS = ("#e69f00", "#882255", "#117733", "#44aa99", "#aa4499", "#6699cc", "#999933", "#661100")
_MARKERS, _DASHES = ("P", "X", "<", ">", "h", "*", "p", "d"), ("-", "--", ":", "-.")


def style_of(measure: str) -> MeasureStyle:
    """How a measure is drawn; further ones take colours in their order."""
    if measure in STYLES:
        return STYLES[measure]
    i = [*dict.fromkeys([*FIRST_COLUMNS, *(name for name in MEASURES if name not in STYLES)])].index(measure)
    return MeasureStyle(_COLORS[i % len(_COLORS)], _MARKERS[i % len(_MARKERS)], _DASHES[i % len(_DASHES)])


_STYLE: dict[str, Any] = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.titley": 1.0,  # to find the place beside ticks that nothing has above the axes takes long
    "axes.axisbelow": True,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "grid.color": "#e4e7eb",
    "legend.frameon": False,
    "text.parse_math": False,  # a score may be called $x$
    "svg.hashsalt": "distspc",  # the same figure is the same file
    "figure.constrained_layout.use": True,
}


def _style() -> Any:
    """Matplotlib's defaults, not the user's, and ours on top; the backend is nobody's business here."""
    defaults = {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")}
    return {**defaults, **_STYLE}


def in_report_style(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw a figure in the style of the report, whatever the user's own settings."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(_style()):
            return draw(*args, **kwargs)

    return styled


def save_figure(figure: Figure, directory: str | Path, name: str) -> tuple[Path, Path]:
    """Write a figure as PNG (200 dots per inch) and SVG; returns both paths."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    png, svg = directory / f"{name}.png", directory / f"{name}.svg"
    figure.set(dpi=_DPI, facecolor="white")
    with mpl.rc_context({**_style(), "figure.constrained_layout.use": False}), ThreadPoolExecutor(1) as pool:
        # Laid out once for both files: with an engine Matplotlib draws a figure twice for each.
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        written = pool.submit(imsave, png, canvas.buffer_rgba(), format="png", origin="upper", dpi=_DPI)
        figure.savefig(svg, dpi=_DPI, metadata={"Date": None})
        written.result()
    return png, svg


def short_layers(layers: Sequence[str], most: int = 14) -> list[str]:
    """Layer names for ticks: of paths that are long, without the folders that all have in common.

    >>> short_layers(["/encoder/layer.0/Add_1_output_0", "/encoder/layer.11/Add_1_output_0"])
    ['layer.0', 'layer.11']
    """
    if len(layers) < 2 or max(map(len, layers)) <= most:
        return list(layers)
    parts = [layer.split("/") for layer in layers]
    n_first = _n_alike(parts)
    n_last = _n_alike([some[:n_first:-1] for some in parts])
    return ["/".join(some[n_first : len(some) - n_last]) or layer for layer, some in zip(layers, parts, strict=True)]


def _n_alike(rows: Sequence[Sequence[str]]) -> int:
    """How many first entries all rows have in common."""
    different = (i for i, column in enumerate(zip(*rows, strict=False)) if len(set(column)) > 1)
    return next(different, min(map(len, rows)))


def plain_number(n: int) -> str:
    """Integer with thin separators, as in 2,222."""
    return f"{n:,}"
