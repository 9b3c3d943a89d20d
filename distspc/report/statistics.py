"""What the statistics beside the correlations say: reliability of scores; in sentences and in tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from distspc.layers import layer_label, models_of
from distspc.report.numbers import format_r, join_words
from distspc.results.stored_tables import read_table_of
from distspc.store import schema
from distspc.store.store import Store

TABLES = {
    schema.RELIABILITY: "subjects, responses and split-half reliability of each score",
    schema.READOUT: "linear readouts of activations and measures, and what others predicted",
}
"""Groups of the store that are tables of the page, with what is in them."""


def statistic_tables(
    store: Store, *, layers: Sequence[str] | None = None, with_scores: bool = True
) -> dict[str, pd.DataFrame]:
    """Return the tables of `TABLES` that a store has and that have rows.

    Parameters
    ----------
    store
        The store.
    layers
        Layers to report; all by default.
    with_scores
        Whether what relates to scores is shown.
    """
    if not with_scores:
        return {}
    tables = {name: read_table_of(store[name]) for name in TABLES if store[name].exists()}
    shown = {name: _of_layers(table, layers) for name, table in tables.items()}
    return {name: table for name, table in shown.items() if len(table)}


def _of_layers(table: pd.DataFrame, layers: Sequence[str] | None) -> pd.DataFrame:
    """Rows of some layers, of all together, and of what has none."""
    if layers is None or "layer" not in table.columns:
        return table
    return table[table["layer"].isin([*layers, "", "all", *(layer_label("all", model) for model in models_of(layers))])]


def split_half_sentences(reliability: pd.DataFrame) -> list[str]:
    """Say how reliable scores are that responses of subjects give, and what that leaves room for."""
    known = reliability[np.isfinite(reliability["reliability"].astype(float))]
    if known.empty:
        return []
    row = known.iloc[0]
    parts = [_with_interval(one["score"], one["reliability"], one) for one in known.to_dict("records")]
    roots = [
        f"{format_r(float(np.sqrt(min(max(one['used'], 0), 1))))} with {one['score']}"
        for one in known.to_dict("records")
    ]
    return [
        f"{int(row['n_subjects']):,} subjects gave {int(row['n_responses']):,} responses to the targets. The "
        f"split-half reliability over {int(row['n_halves']):,} random halves of the subjects (Spearman-Brown) is "
        f"{join_words(parts)}.",
        f"No measure can be expected to correlate more strongly than {join_words(roots)}, the root of the reliability: "
        "the noise ceiling.",
    ]


def _with_interval(name: str, value: float, row: Mapping[Any, Any]) -> str:
    """``hit .82 (95 % CI .75 to .87)``."""
    return f"{name} {format_r(value)} (95 % CI {format_r(row['ci_low'])} to {format_r(row['ci_high'])})"
