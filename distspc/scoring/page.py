"""One self-contained page about images that were scored: each beside its neighbours, and where it falls by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distspc.io.files import written_whole
from distspc.layers import split_layer
from distspc.messages import counted
from distspc.results.card import pages
from distspc.results.measures import MEASURES
from distspc.results.numbers import format_quantity
from distspc.results.plot.galleries import thumbnail
from distspc.scoring.options import DEFAULT_LIMITS
from distspc.scoring.reference import Reference
from distspc.scoring.table import PERCENTILES, target_values

WIDTH, HEIGHT = 160, 34
"""Of a histogram, in its own units."""
MOST_BINS = 40
MOST_NEIGHBOURS = 3
"""Neighbours that are shown of an image at a layer."""


@dataclass(frozen=True)
class Histogram:
    """Distribution of a measure over the study's targets at a layer, as a path of SVG.

    Attributes
    ----------
    name
        By which the page refers to it.
    path
        Its outline.
    low, high
        Values at its left and right end: of the targets and the new images.
    """

    name: str
    path: str
    low: float
    high: float

    def place(self, value: float) -> float:
        """Where a value stands."""
        return float(WIDTH * (value - self.low) / (self.high - self.low))


def write_page(
    table: pd.DataFrame,
    reference: Reference,
    path: Path,
    *,
    title: str,
    notices: Sequence[str] = (),
    skipped: Sequence[tuple[str, str]] = (),
    most: int = DEFAULT_LIMITS.page_images,
) -> Path:
    """Write the page; it holds all it shows and can be sent alone.

    Parameters
    ----------
    table
        What was found (`distspc.scoring.table.labelled_scores`).
    reference
        The study.
    path
        The file.
    title
        Heading.
    notices, skipped
        What is to be said; files that could not be used, with their reasons.
    most
        Most images that are shown.
    """
    environment = pages("distspc.scoring", "distspc.report")  # its style is the report's
    environment.filters["quantity"] = format_quantity
    measures = [name for name in PERCENTILES if table[name].notna().any()]
    histograms = _histograms(table, reference, measures)
    images = list(dict.fromkeys(table["image"]))
    shown = _Images(table, reference, histograms)
    page = environment.get_template("score.html").render(
        title=title,
        facts=_facts(table, reference, len(images)),
        measures=[(name, MEASURES[name]) for name in measures],
        histograms=list(histograms.values()),
        images=[shown.show(name) for name in images[:most]],
        n_more=len(images) - most,
        notices=notices,
        skipped=skipped,
        size=(WIDTH, HEIGHT),
    )
    with written_whole(path) as beside:
        beside.write_text(page, encoding="utf-8")
    return path


def _fact(n: int, noun: str) -> tuple[str, str]:
    number, words = counted(n, noun).split(" ", 1)
    return number, words


def _facts(table: pd.DataFrame, reference: Reference, n_images: int) -> list[tuple[str, str]]:
    n_targets = int((reference.store.images.read("role") == "target").sum())
    n_layers, distance = table["layer"].replace("", None).nunique(), reference.distance
    facts = [
        _fact(n_images, "image"),
        _fact(n_targets, "target in the study"),
        _fact(n_layers, "layer"),
        (distance.protocol, "protocol"),
        (distance.metric, "metric"),
    ]
    return facts


def _histograms(table: pd.DataFrame, reference: Reference, measures: Sequence[str]) -> dict[tuple[str, str], Histogram]:
    """Distributions over the targets by layer and measure, wide enough for the new images."""
    found = {}
    for i, layer in enumerate(dict.fromkeys(table["layer"])):
        known, new = target_values(reference, layer), table[table["layer"] == layer]
        for measure in (name for name in measures if name in known):
            values = np.concatenate([known[measure], new[measure].dropna()])
            found[layer, measure] = _histogram(f"{measure}-{i}", known[measure], values)
    return found


def _histogram(name: str, values: np.ndarray, all_values: np.ndarray) -> Histogram:
    low, high = float(all_values.min()), float(all_values.max())
    high = high if high > low else low + 1
    n_bins = int(np.clip(2 * np.sqrt(len(values)), 10, MOST_BINS))
    counts, _ = np.histogram(values, bins=n_bins, range=(low, high))
    heights = HEIGHT * (1 - counts / max(int(counts.max()), 1))
    step = WIDTH / n_bins
    steps = " ".join(f"L{i * step:.1f} {y:.1f} L{(i + 1) * step:.1f} {y:.1f}" for i, y in enumerate(heights))
    return Histogram(name, f"M0 {HEIGHT} {steps} L{WIDTH} {HEIGHT} Z", low, high)


class _Images:
    """Images as the page shows them: each with its layers, neighbours and marks."""

    def __init__(
        self, table: pd.DataFrame, reference: Reference, histograms: Mapping[tuple[str, str], Histogram]
    ) -> None:
        self.table, self.histograms = table, histograms
        images = reference.store.images
        self.files = dict(zip(images.labels("image"), images.read("file").tolist(), strict=True))

    def show(self, name: str) -> dict[str, Any]:
        """One of the images."""
        rows = self.table[self.table["image"] == name].to_dict("records")
        first = {key: rows[0][key] for key in ("file", "in_study")}
        source = thumbnail(str(rows[0]["file"]))
        return {"name": name, **first, "source": source, "layers": [self._layer(row) for row in rows]}

    def _layer(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        layer, model = split_layer(str(row["layer"]))
        marks = {measure: self._mark(row, measure) for measure in PERCENTILES}
        return {"name": layer, "model": model, "neighbours": self._neighbours(row), "marks": marks}

    def _mark(self, row: Mapping[Any, Any], measure: str) -> dict[str, Any]:
        """Value and percentile of a measure, and where it stands in the targets' histogram."""
        value, histogram = row.get(measure, np.nan), self.histograms.get((str(row["layer"]), measure))
        at = histogram.place(value) if histogram is not None and np.isfinite(value) else None
        percentile = row.get(f"{measure}_percentile", np.nan)
        return {"value": value, "percentile": percentile, "histogram": histogram, "at": at}

    def _neighbours(self, row: Mapping[Any, Any]) -> list[dict[str, Any]]:
        """The nearest neighbours, with their distances and pictures."""
        columns = [("neighbour", "distinctiveness")]
        columns += [(f"neighbour_{k}", f"distance_{k}") for k in range(2, MOST_NEIGHBOURS + 1)]
        named = [(str(row[name]), row[distance]) for name, distance in columns if row.get(name)]
        return [{"name": name, "distance": d, "source": thumbnail(self.files.get(name, ""))} for name, d in named]
