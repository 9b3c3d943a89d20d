"""Relate the measures of a study to scores of memory."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import free_names
from distspc.io.files import hex_digest
from distspc.kernels.statistics import reliability as kernel
from distspc.kernels.statistics.reliability import seed_reliability
from distspc.layers import layer_order
from distspc.memorability.correlation import (
    bootstrap_notices,
    compare_correlations,
    constant_columns,
    correlate,
    joint_model,
    with_holm,
)
from distspc.memorability.matching import Match, match_notices, match_scores, skipped_targets
from distspc.memorability.options import METHODS, Interval, Method, RelateOptions
from distspc.memorability.scores import read_scores
from distspc.messages import shorten
from distspc.results.measures import MODEL_MEASURES, wide_table
from distspc.results.stored_tables import write_table
from distspc.results.tidy import reconstruction_errors, target_table, tidy_table
from distspc.store.notices import RULES, Notice, keep_notices
from distspc.store.schema import StorePath
from distspc.store.store import Store

log = logging.getLogger(__name__)

PAPER_PARTIAL = ("reconstruction_error:fc2", "distinctiveness:block5_pool")
"""The measure and its control in the paper's partial correlation."""

COMPARED_MEASURES = ("distinctiveness", "reconstruction_error")
"""The two measures whose correlations with a score are compared."""


def relate(
    store: StorePath,
    *,
    scores_file: str | Path,
    image_column: str,
    columns: Sequence[str] = (),
    missing: Collection[str] = (),
    layers: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    given: Sequence[str] = (),
    methods: Sequence[Method] = METHODS,
    n_bootstrap: int = RelateOptions.n_bootstrap,
    interval: Interval = RelateOptions.interval,
    random_state: int | None = RelateOptions.random_state,
    score_reliability: Mapping[str, float] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Relate every measure of every layer of a study to every score, and keep the tables in its store.

    It takes seconds, so it runs right here. Group `scores` gets the scores beside their targets, `relations` the
    correlations, `models` the joint models, `comparisons` distinctiveness against reconstruction error; each replaces
    what was there.

    Parameters
    ----------
    store
        Path of the store.
    scores_file
        Table of scores; see `distspc.memorability.scores.read_scores`.
    image_column
        The column that names the image; see `distspc.memorability.matching.match_scores`.
    columns
        Score columns; by default all that hold numbers which differ.
    missing
        Entries of the scores that mean a missing value, beside empty ones, NA and NaN.
    layers
        Layers; all that have a measure by default.
    seeds
        Seeds of the reconstruction error; all that the store holds by default.
    given
        Further controls, ``measure:layer``: every measure is also correlated given these. Within a layer,
        distinctiveness, reconstruction error and norm are always correlated given one another, and so is the
        paper's pair: reconstruction error of fc2 given distinctiveness of block5_pool.
    methods, n_bootstrap, interval, random_state
        As in `distspc.correlate`.
    score_reliability
        Reliability of a score (such as its split-half correlation) by column, for the ceiling.
    recipe
        Kept with the tables; the settings given here by default.

    Returns
    -------
    DataFrame
        The relations: layer, then columns as in `distspc.correlate`, then ``ceiling``. Holm's correction counts the
        plain and the partial correlations of a method as two families.

    Raises
    ------
    InputError
        For scores that cannot be used (see `read_scores`, `match_scores`), or where nothing is measured yet.
    """
    store = Store(store)
    targets = target_table(store)
    where = f"scores {scores_file}"
    given_scores = read_scores(scores_file, image_column=image_column, columns=columns, missing=missing)
    match = match_scores(targets, given_scores, where=where, skipped=skipped_targets(store))
    scores = match.frame.set_axis(pd.Index(targets["image"]))
    notices = [*given_scores.attrs["notices"]]
    if not columns:
        scores = _varying(scores, notices)
    wide = _varying(wide_table(tidy_table(store, layers=layers, seeds=seeds, with_scores=False)), notices)
    for sentence in notices:
        log.warning(sentence)
    if wide.empty:
        raise InputError(f"{store} holds no measures yet: run `distspc distances` or `distspc reconstruct` first")
    absent = [name for name in given if name not in wide.columns]
    if absent:
        raise InputError(f"no measure {shorten(absent)} to control for; there are {shorten(wide.columns, most=40)}")
    columns_of = free_names([str(name) for name in scores.columns], [str(name) for name in wide.columns])
    names, score_of = list(columns_of.values()), {column: name for name, column in columns_of.items()}
    frame = wide.join(scores.rename(columns=columns_of), validate="one_to_one")
    options: dict[str, Any] = {"n_bootstrap": n_bootstrap, "random_state": random_state, "interval": interval}
    relations = _named(_relations(frame, list(wide.columns), names, given, methods, options), score_of)
    relations["ceiling"] = _ceilings(store, relations, score_reliability or {}, seeds)
    own = _recipe(scores_file, image_column, list(score_of.values()), methods, given, options)
    known = own if recipe is None else recipe
    _keep_scores(store, match, targets, scores, known, {"file": str(scores_file), "column": image_column})
    keep_notices(store.scores, "reading", map(Notice, notices))
    models = _models(frame, wide, names, random_state)
    comparisons = _comparisons(frame, wide, names, n_bootstrap, random_state)
    attrs = {"n_bootstrap": n_bootstrap, "interval": interval, "n_targets": len(targets)}
    write_table(store.models, _named(models, score_of), recipe=known)
    write_table(store.comparisons, _named(comparisons, score_of), recipe=known)
    write_table(store.relations, relations, recipe=known, attrs=attrs)  # last: its being there says all is
    sentences = bootstrap_notices(relations)
    keep_notices(store.relations, "bootstrap", [Notice(s, warning="no bootstrap p" in s) for s in sentences])
    return relations


def _keep_scores(
    store: Store,
    match: Match,
    targets: pd.DataFrame,
    scores: pd.DataFrame,
    recipe: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> None:
    """Write the scores beside their targets, and by which rule they were matched and what has no partner."""
    found = {"key": match.key, "without_score": list(match.without_score), "without_image": list(match.without_image)}
    _write_scores(store, scores, recipe, {**origin, **found})
    rule, *lost = match_notices(match, targets)
    keep_notices(store.scores, RULES, [rule])
    keep_notices(store.scores, "matching", lost)


def _named(table: pd.DataFrame, score_of: Mapping[str, str]) -> pd.DataFrame:
    """A table with the scores' own names, in place of those of their columns."""
    return table.assign(score=table["score"].map(score_of)) if len(table) else table


def _varying(frame: pd.DataFrame, notices: list[str]) -> pd.DataFrame:
    """Columns that differ between images; a sentence about the others is added."""
    constant = constant_columns(frame, list(frame.columns))
    if constant:
        notices.append(f"the same for all images, left out: {shorten(constant)}")
    return frame.drop(columns=constant)


def _relations(
    frame: pd.DataFrame,
    measures: Sequence[str],
    scores: Sequence[str],
    given: Sequence[str],
    methods: Sequence[Method],
    options: Mapping[str, Any],
) -> pd.DataFrame:
    parts = []
    for method in methods:
        parts.append(correlate(frame, measures, scores, (), method, **options))
        partial = [correlate(frame, rest, scores, control, method, **options) for control, rest in _controls(measures)]
        if given:
            rest = [name for name in measures if name not in given]
            partial.append(correlate(frame, rest, scores, tuple(given), method, **options))
        if partial:
            parts.append(with_holm(pd.concat(partial, ignore_index=True).drop_duplicates(_KEY)))
    table = pd.concat(parts, ignore_index=True)
    pairs = table["measure"].str.split(":", n=1, expand=True)
    return table.assign(measure=pairs[0]).assign(layer=pairs[1])[["layer", *table.columns]]


_KEY = ["measure", "given", "score"]


def _controls(measures: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Each measure as control, with the other measures of its layer; and the paper's pair."""
    found = []
    for layer in layer_order([name.split(":", 1)[1] for name in measures]):
        here = [f"{name}:{layer}" for name in MODEL_MEASURES if f"{name}:{layer}" in measures]
        found += [(control, [name for name in here if name != control]) for control in here if len(here) > 1]
    measure, control = PAPER_PARTIAL
    return [*found, (control, [measure])] if {measure, control} <= set(measures) else found


def _ceilings(
    store: Store, relations: pd.DataFrame, score_reliability: Mapping[str, float], seeds: Sequence[int] | None
) -> np.ndarray:
    """Ceiling of each plain correlation: from the score's reliability and the measure's over seeds."""
    of_error = {layer: _reliability(store, layer, seeds) for layer in relations["layer"].unique()}

    def ceiling(row: Any) -> float:
        if row.given:
            return float("nan")
        measure = of_error[row.layer] if row.measure == "reconstruction_error" else float("nan")
        return kernel.attenuation_ceiling([measure, score_reliability.get(row.score, float("nan"))])

    return np.array([ceiling(row) for row in relations.itertuples()])


def _reliability(store: Store, layer: str, seeds: Sequence[int] | None) -> float:
    """Reliability of the mean reconstruction error over the seeds that are done, among the targets."""
    errors = reconstruction_errors(store, layer, seeds)
    errors = errors.reindex(target_table(store)["image"]).dropna(axis=1, how="all")
    return seed_reliability(errors.to_numpy().T).mean_icc if min(errors.shape) > 1 else float("nan")


def _models(frame: pd.DataFrame, wide: pd.DataFrame, scores: Sequence[str], seed: int | None) -> pd.DataFrame:
    layers = layer_order([str(name).split(":", 1)[1] for name in wide.columns])
    sets = {
        layer: [f"{name}:{layer}" for name in MODEL_MEASURES if f"{name}:{layer}" in wide.columns] for layer in layers
    }
    sets["all"] = [name for names in sets.values() for name in names]
    rows = []
    for score in scores:
        for layer, names in sets.items():
            if names:
                told = {"layer": layer, "score": score, "measures": ", ".join(names)}
                rows.append(told | joint_model(frame, names, score, random_state=seed))
    return pd.DataFrame(rows)


def _comparisons(
    frame: pd.DataFrame, wide: pd.DataFrame, scores: Sequence[str], n_bootstrap: int, seed: int | None
) -> pd.DataFrame:
    layers = layer_order([str(name).split(":", 1)[1] for name in wide.columns])
    rows = []
    for layer in layers:
        first, second = (f"{name}:{layer}" for name in COMPARED_MEASURES)
        if first in wide.columns and second in wide.columns:
            for score in scores:
                row = compare_correlations(frame, first, second, score, "pearson", n_bootstrap, seed)
                rows.append(
                    row.assign(layer=layer, score=score, first=COMPARED_MEASURES[0], second=COMPARED_MEASURES[1])
                )
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["layer", "score"])


def _write_scores(store: Store, scores: pd.DataFrame, recipe: Mapping[str, Any], attrs: Mapping[str, Any]) -> None:
    store.scores.remove()
    coords = {"score": [str(name) for name in scores.columns], "target": [str(name) for name in scores.index]}
    store.scores.allocate(coords=coords, chunks={}, recipe=recipe, attrs=attrs)
    store.scores.write("value", scores.to_numpy(dtype=float).T)


def _recipe(
    scores_file: str | Path,
    image_column: str,
    columns: Sequence[str],
    methods: Sequence[str],
    given: Sequence[str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    told = {"scores": hex_digest(Path(scores_file)), "image": image_column, "columns": list(columns)}
    return told | {"methods": list(methods), "given": list(given), **options}
