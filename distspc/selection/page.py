"""One self-contained page about a selection: the factor plane, distributions and images by cell, balance."""

from __future__ import annotations

import io
import math
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from distspc.io.files import written_whole
from distspc.results.card import pages
from distspc.results.numbers import format_quantity, format_r
from distspc.results.plot.galleries import data_uri, thumbnail
from distspc.selection.figures import distributions, factor_plane
from distspc.selection.selection import Selection


class Picture(NamedTuple):
    """A figure of the page as a data URI, with what it shows."""

    source: str
    caption: str


def write_page(selection: Selection, path: Path, *, title: str) -> None:
    """Write the page about a selection; it holds all it shows and can be sent alone."""
    environment = pages("distspc.selection", "distspc.report")  # its style is the report's
    environment.filters.update({"quantity": format_quantity, "r": format_r})
    page = environment.get_template("selection.html").render(
        title=title,
        facts=_facts(selection),
        sentences=sentences(selection),
        planes=_planes(selection),
        distributions=_distributions(selection),
        summary=summary_rows(selection),
        cells=selection.cells,
        galleries=_galleries(selection),
        balance=selection.balance,
    )
    with written_whole(path) as beside:
        beside.write_text(page, encoding="utf-8")


def _facts(selection: Selection) -> list[tuple[str, str]]:
    n = len(selection.stimuli)
    facts = [
        (f"{n:,}", "images"),
        (f"{len(selection.cells)}", "cells"),
        (f"{len(selection.candidates.cell):,}", "candidates"),
    ]
    after = max((abs(r) for r in selection.correlation_after.values()), default=None)
    return facts if after is None else [*facts, (format_r(after), "largest correlation of two factors")]


def sentences(selection: Selection) -> list[str]:
    """What came out, in words."""
    found = [
        f"{a} and {b} correlate at {format_r(before)} over the candidates and at "
        f"{format_r(selection.correlation_after[a, b])} over the set."
        for (a, b), before in selection.correlation_before.items()
    ]
    found += [
        f"The means of {name} at its highest and lowest level are {d:.2f} SD of the candidates apart."
        for name, d in selection.separation.items()
    ]
    return [*found, _quality(selection), *(f"{sentence[0].upper()}{sentence[1:]}." for sentence in selection.notices)]


def _quality(selection: Selection) -> str:
    """How good the set is proven to be."""
    took = f"the search took {selection.seconds:.1f} s."
    if math.isnan(selection.gap):
        return f"The set holds all limits; how far it is from the best possible is not known; {took}"
    proven = "proven to be within" if selection.optimal else "within, when the time ended,"
    return f"The set is {proven} {selection.gap:.1%} of the best possible; {took}"


def _picture(figure: Any, caption: str) -> Picture:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=160, facecolor="white", format="png")
    return Picture(data_uri(buffer.getvalue(), "image/png"), caption)


def _planes(selection: Selection) -> list[Picture]:
    caption = "Grey: candidates; coloured: the set, by cell"
    return [_picture(factor_plane(selection, *pair), caption) for pair in combinations(selection.by, 2)]


def _distributions(selection: Selection) -> list[Picture]:
    names = (*selection.by, *selection.candidates.covariates)
    return [_picture(distributions(selection, name), f"{name} by cell") for name in names]


def summary_rows(selection: Selection) -> list[dict[str, Any]]:
    """Each factor and covariate: mean and SD in each cell, and the worst of its comparisons."""
    rows = []
    for name in (*selection.by, *selection.candidates.covariates):
        values = selection.stimuli.groupby("cell", sort=False)[name]
        means, sds = values.mean(), values.std(ddof=1)
        compared = selection.balance[selection.balance["variable"] == name]
        alike = compared[compared["within_limits"].notna()]
        ratios = alike["variance_ratio"] if name not in selection.by else pd.Series(dtype=float)
        rows.append(
            {
                "variable": name,
                "cells": [(means[cell], sds[cell]) for cell in selection.cells],
                "smd": alike["smd"].abs().max(),
                "ratio": pd.concat([ratios, 1 / ratios]).max(),
            }
        )
    return rows


def summary_table(selection: Selection) -> pd.DataFrame:
    """Return `summary_rows` as a table: a column of means per cell, the largest SMD and the largest variance ratio."""
    rows = []
    for row in summary_rows(selection):
        means = {cell: mean for cell, (mean, _) in zip(selection.cells, row["cells"], strict=True)}
        rows.append({"variable": row["variable"], **means, "SMD": row["smd"], "variances": row["ratio"]})
    return pd.DataFrame(rows)


def _galleries(selection: Selection) -> list[dict[str, Any]]:
    """Images of each cell; thumbnails where the files are there."""
    found = []
    for cell, part in selection.stimuli.groupby("cell", sort=False):
        files = part["file"] if "file" in part.columns else pd.Series("", index=part.index)
        images = [{"name": str(name), "source": thumbnail(str(file)) if file else ""} for name, file in files.items()]
        found.append({"cell": cell, "images": images, "has_pictures": any(image["source"] for image in images)})
    return found
