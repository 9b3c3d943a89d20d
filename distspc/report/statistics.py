"""What the statistics beside the correlations say: reliability of scores; in sentences and in tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from distspc.layers import layer_label, models_of
from distspc.messages import counted
from distspc.report.sentences import LEVEL, control_sentence
from distspc.results.measures import MEASURES
from distspc.results.numbers import format_r, interval_text, join_words, p_text
from distspc.results.stored_tables import read_table_of
from distspc.store.format import schema
from distspc.store.store import Store

TABLES = {
    schema.RELIABILITY: "subjects, responses and split-half reliability of each score",
    schema.READOUT: "linear readouts of activations and measures, and what others predicted",
    schema.WITHIN_MEAN: "mean correlations within categories",
    schema.WITHIN: "correlations within each category",
    schema.MIXED: "mixed models with a random intercept for each category",
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


def related_sentences(
    store: Store, relations: pd.DataFrame, tables: Mapping[str, pd.DataFrame], score: str, measures: Sequence[str]
) -> list[str]:
    """Say what is left of the correlations of some measures with a score beside controls and within categories.

    Parameters
    ----------
    store
        The store.
    relations
        The correlations.
    tables
        As `statistic_tables` returns them.
    score
        The score.
    measures
        The measures.
    """
    attributes = store.relations.attributes if store.relations.exists() else {}
    controls = attributes.get("controls", "")
    found = [control_sentence(relations, score, measure, controls) for measure in measures if controls]
    if schema.WITHIN_MEAN in tables:
        category = store[schema.WITHIN_MEAN].attributes.get("within", "category")
        found += [_within_sentence(tables[schema.WITHIN_MEAN], score, measure, category) for measure in measures]
    if schema.MIXED in tables:
        found += [_mixed_sentence(tables[schema.MIXED], score, measure) for measure in measures]
    return [text for text in found if text]


def _strongest(rows: pd.DataFrame, column: str) -> pd.Series:
    return rows.iloc[int(np.argmax(rows[column].abs().to_numpy()))]


def _within_sentence(means: pd.DataFrame, score: str, measure: str, category: str) -> str:
    """Say how strongly a measure correlates with a score within categories, at the layer where it does most."""
    rows = means[(means["score"] == score) & (means["measure"] == measure) & means["r"].notna()]
    if rows.empty:
        return ""
    best = _strongest(rows, "r")
    most = "most strongly " if len(rows) > 1 else ""
    verb = "correlates" if best["p"] < LEVEL else "is not significantly correlated"
    differ = (
        f"; categories differ (I² = {100 * best['i2']:.0f} %, {p_text(best['q_p'])})" if best["q_p"] < LEVEL else ""
    )
    where = f" at {best['layer']}" if best["layer"] else ""
    return (
        f"Within each {category}, {MEASURES[measure]} {verb} with {score} {most}{where.strip()}: mean of "
        f"{int(best['n_categories'])} categories {interval_text(best)}, {p_text(best['p'])} uncorrected{differ}."
    )


def _mixed_sentence(mixed: pd.DataFrame, score: str, measure: str) -> str:
    """Say how large the effect of a measure on a score is with an intercept for each category."""
    rows = mixed[(mixed["score"] == score) & (mixed["measure"] == measure) & mixed["converged"].astype(bool)]
    if rows.empty:
        return ""
    best = _strongest(rows, "coefficient")
    where = f" at {best['layer']}" if best["layer"] else ""
    beside = f", beside {best['given'].replace(':', ' ').replace('_', ' ')}" if best["given"] else ""
    return (
        f"In a mixed model with a random intercept for each of {int(best['n_categories'])} categories{beside}, one sd "
        f"more of {MEASURES[measure]}{where} goes with {format_r(best['coefficient'])} sd of {score} (95 % CI "
        f"{format_r(best['ci_low'])} to {format_r(best['ci_high'])}, {p_text(best['p'])} uncorrected"
        f"{'' if best['p'] < LEVEL else '; not significant'})."
    )


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
        f"{counted(int(row['n_subjects']), 'subject')} gave {counted(int(row['n_responses']), 'response')} to the "
        "targets. The "
        f"split-half reliability over {int(row['n_halves']):,} random halves of the subjects (Spearman-Brown) is "
        f"{join_words(parts)}.",
        f"No measure can be expected to correlate more strongly than {join_words(roots)}, the root of the reliability: "
        "the noise ceiling.",
    ]


def _with_interval(name: str, value: float, row: Mapping[Any, Any]) -> str:
    """``hit .82 (95 % CI .75 to .87)``."""
    return f"{name} {format_r(value)} (95 % CI {format_r(row['ci_low'])} to {format_r(row['ci_high'])})"
