"""Names of the measures, and tables with a column for each."""

from __future__ import annotations

import pandas as pd

from distspc.layers import layer_order

MEASURES: dict[str, str] = {
    "distinctiveness": "distinctiveness",
    "reconstruction_error": "reconstruction error",
    "norm": "L2 norm",
    "mean_distance": "mean distance to the nearest neighbours",
    "pool_distance": "mean distance to all other images",
}
"""Measures of an image by column of the tidy table, with their names in words."""

OWN_COLUMNS = (
    *("image", "file", "layer", "neighbour", *MEASURES),
    *(f"reconstruction_error_{name}" for name in ("sd", "icc", "reliability")),
)
"""Columns that a tidy table may have beside the scores."""

MODEL_MEASURES = ("distinctiveness", "reconstruction_error", "norm")
"""Measures of a layer that are controlled for one another, make the joint model, and stand in figures and sentences."""


def zero_order_rows(relations: pd.DataFrame, *, method: str | None = "pearson") -> pd.DataFrame:
    """Correlations that control for nothing; of every method where none is named."""
    rows = relations[relations["given"] == ""]
    return rows if method is None else rows[rows["method"] == method]


def partial_rows(relations: pd.DataFrame, *, method: str | None = "pearson") -> pd.DataFrame:
    """Correlations that control for other measures; of every method where none is named."""
    rows = relations[relations["given"] != ""]
    return rows if method is None else rows[rows["method"] == method]


def measures_of(table: pd.DataFrame) -> list[str]:
    """Names of the measures that a tidy table has."""
    return [name for name in MEASURES if name in table.columns and table[name].notna().any()]


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per target with a column ``measure:layer`` for each measure and layer that has values."""
    wide = {}
    order = pd.Index(dict.fromkeys(table["image"]), name="image")
    for layer in layer_order(list(table["layer"])):
        part = table[table["layer"] == layer].set_index("image")
        for name in measures_of(part):
            wide[f"{name}:{layer}"] = part[name].reindex(order)
    return pd.DataFrame(wide, index=order)
