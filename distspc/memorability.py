"""Relate the measures of a study, or of any two tables, to scores of memory."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distspc import store as zarr_store
from distspc.correlation import (
    METHODS,
    Interval,
    Method,
    Names,
    as_tuple,
    compare_correlations,
    correlate,
    joint_model,
    with_holm,
)
from distspc.errors import InputError
from distspc.kernels import statistics as kernel
from distspc.kernels.reliability import seed_reliability
from distspc.matching import common_rows, match_notices, match_scores, skipped_targets
from distspc.notices import RULES, keep_notices
from distspc.scores import (
    check_rates,
    listed,
    need_columns,
    numeric_columns,
    read_scores,
    read_table,
    to_numbers,
)
from distspc.tables import (
    JOINT,
    layer_order,
    reconstruction_errors,
    target_table,
    tidy_table,
    to_netcdf,
    wide_table,
    write_table,
)

__all__ = ["compare_correlations", "correlate", "joint_model", "relate", "relate_tables", "tidy_table", "to_netcdf"]

log = logging.getLogger(__name__)

PAPER = ("reconstruction_error:fc2", "distinctiveness:block5_pool")
"""The measure and its control in the paper's partial correlation."""

PAIR = ("distinctiveness", "reconstruction_error")
"""The two measures whose correlations with a score are compared."""


# ---------------------------------------------------------------------------------------------- two tables


def relate_tables(
    measures_file: str | Path,
    scores_file: str | Path,
    *,
    by: str,
    scores: Names | None = None,
    measures: Names | None = None,
    given: Names = (),
    method: Method = "pearson",
    n_bootstrap: int = 1000,
    random_state: int | None = 0,
    interval: Interval = "percentile",
) -> pd.DataFrame:
    """Relate the measures of one table to the scores of another; no study or store is needed.

    Parameters
    ----------
    measures_file, scores_file
        Tables with a header; comma, semicolon or tab between columns. A table of measures with a column ``layer``
        and several rows per image (such as an exported ``results.csv``) is taken layer by layer: its measures are
        then called ``measure:layer``.
    by
        Column that names the image in both; ``"A=B"`` if it is A among the measures and B among the scores.
    scores, measures
        Columns; all that hold numbers by default.
    given, method, n_bootstrap, random_state, interval
        As in `correlate`.

    Returns
    -------
    DataFrame
        As `correlate`; ``attrs`` has the images that only one of the tables names.

    Raises
    ------
    InputError
        For files, columns or entries that cannot be used, and tables that have no image in common.
    """
    left, _, right = by.partition("=")
    given = as_tuple(given)
    table, where = read_table(measures_file, what="measures"), f"measures {measures_file}"
    need_columns(table, [left], where=where)
    other, there = read_table(scores_file, what="scores"), f"scores {scores_file}"
    need_columns(other, [right or left, *as_tuple(scores or ())], where=there)
    score_names = as_tuple(scores or ()) or tuple(numeric_columns(other, but=[right or left]))
    if not score_names:
        raise InputError(f"{there} has no column of numbers beside {right or left!r}")
    table, names = _by_image(table, left, as_tuple(measures or ()), given, score_names, where)
    (table, other), lonely = common_rows({where: table, there: other}, [left, right or left])
    frame = pd.DataFrame({name: to_numbers(table[name], where=where) for name in {**dict.fromkeys([*names, *given])}})
    for name in score_names:
        frame[name] = to_numbers(other[name], where=there).to_numpy()
        check_rates(frame[name], where=there)
    result = correlate(frame, names, score_names, given, method, n_bootstrap, random_state, interval=interval)
    result.attrs = {f"only in {name}": list(lost) for name, lost in lonely.items()}
    return result


def _by_image(
    table: pd.DataFrame,
    by: str,
    measures: Sequence[str],
    given: Sequence[str],
    scores: Sequence[str],
    where: str,
) -> tuple[pd.DataFrame, list[str]]:
    """Return a table of measures with one row per image, and the names of its measures."""
    layered = "layer" in table.columns and table[by].duplicated().any()
    if layered:
        table = _pivot(table, by, where)
    known = [str(name) for name in table.columns]
    wanted = [n for m in measures for n in ([m] if m in known or not layered else _of_layers(m, known))]
    need_columns(table, [*wanted, *given], where=where)
    if measures:
        return table, wanted
    no_measures = {*scores, "reconstruction_error_icc", "reconstruction_error_reliability"}  # one number a layer
    found = [name for name in numeric_columns(table, but=[by, *given]) if name.split(":")[0] not in no_measures]
    if not found:
        raise InputError(f"{where} has no column of numbers beside {listed([by, *given])} and the scores")
    return table, found


def _of_layers(measure: str, known: Sequence[str]) -> list[str]:
    return [name for name in known if name.startswith(f"{measure}:")] or [measure]


def _pivot(table: pd.DataFrame, by: str, where: str) -> pd.DataFrame:
    if table.duplicated([by, "layer"]).any():
        rows = table.index[table.duplicated([by, "layer"])]
        raise InputError(f"{where}: image and layer are there twice in line {listed(rows)}")
    wide = table.pivot(index=by, columns="layer")  # noqa: PD010 - text: there is nothing to aggregate
    wide = wide.loc[list(dict.fromkeys(table[by])), :].fillna("")
    wide.columns = pd.Index([":".join(pair) for pair in wide.columns.to_flat_index()])
    return wide.reset_index()


# ---------------------------------------------------------------------------------------------- the stage


def relate(
    store: str | Path,
    *,
    scores_file: str | Path,
    image_column: str,
    columns: Sequence[str] = (),
    layers: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    given: Sequence[str] = (),
    methods: Sequence[Method] = METHODS,
    n_bootstrap: int = 1000,
    interval: Interval = "percentile",
    random_state: int | None = 0,
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
        Table of scores; see `distspc.scores.read_scores`.
    image_column
        The column that names the image; see `distspc.matching.match_scores`.
    columns
        Score columns; all that hold numbers by default.
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
    targets = target_table(store)
    where = f"scores {scores_file}"
    given_scores = read_scores(scores_file, image_column=image_column, columns=columns)
    match = match_scores(targets, given_scores, where=where, skipped=skipped_targets(store))
    scores = match.frame.set_axis(pd.Index(targets["image"]))
    table = tidy_table(store, layers=layers, seeds=seeds)
    table = table.drop(columns=[name for name in scores.columns if name in table.columns])
    wide = _varying(wide_table(table))
    if wide.empty:
        raise InputError(f"{store} holds no measures yet: run `distspc distances` or `distspc reconstruct` first")
    missing = [name for name in given if name not in wide.columns]
    if missing:
        raise InputError(f"no measure {listed(missing)} to control for; there are {listed(wide.columns, most=40)}")
    names = [str(name) for name in scores.columns]
    frame = wide.join(scores, validate="one_to_one")
    options: dict[str, Any] = {"n_bootstrap": n_bootstrap, "random_state": random_state, "interval": interval}
    relations = _relations(frame, list(wide.columns), names, given, methods, options)
    relations["ceiling"] = _ceilings(store, relations, score_reliability or {}, seeds)
    known = dict(recipe) if recipe is not None else _recipe(scores_file, image_column, names, methods, given, options)
    found = {"key": match.key, "without_score": list(match.without_score), "without_image": list(match.without_image)}
    _write_scores(store, scores, known, {"file": str(scores_file), "column": image_column, **found})
    rule, *lost = match_notices(match, targets)
    keep_notices(store, "scores", RULES, [rule])
    keep_notices(store, "scores", "matching", lost)
    write_table(store, "models", _models(frame, wide, names, random_state), recipe=known)
    write_table(store, "comparisons", _comparisons(frame, wide, names, n_bootstrap, random_state), recipe=known)
    attrs = {"n_bootstrap": n_bootstrap, "interval": interval, "n_targets": len(targets)}
    write_table(store, "relations", relations, recipe=known, attrs=attrs)  # last: its being there says all is
    return relations


def _varying(wide: pd.DataFrame) -> pd.DataFrame:
    """Measures that differ between images; the others are named and left out."""
    constant = [name for name in wide.columns if wide[name].min() == wide[name].max()]
    if constant:
        log.warning("the same for all images, left out: %s", listed(constant))
    return wide.drop(columns=constant)


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
        here = [f"{name}:{layer}" for name in JOINT if f"{name}:{layer}" in measures]
        found += [(control, [name for name in here if name != control]) for control in here if len(here) > 1]
    measure, control = PAPER
    return [*found, (control, [measure])] if {measure, control} <= set(measures) else found


def _ceilings(
    store: str | Path, relations: pd.DataFrame, score_reliability: Mapping[str, float], seeds: Sequence[int] | None
) -> np.ndarray:
    """Ceiling of each plain correlation: from the score's reliability and the measure's over seeds."""
    of_error = {layer: _reliability(store, layer, seeds) for layer in relations["layer"].unique()}

    def ceiling(row: Any) -> float:
        if row.given:
            return float("nan")
        measure = of_error[row.layer] if row.measure == "reconstruction_error" else float("nan")
        return kernel.attenuation_ceiling([measure, score_reliability.get(row.score, float("nan"))])

    return np.array([ceiling(row) for row in relations.itertuples()])


def _reliability(store: str | Path, layer: str, seeds: Sequence[int] | None) -> float:
    """Reliability of the mean reconstruction error over the seeds that are done, among the targets."""
    errors = reconstruction_errors(store, layer, seeds)
    errors = errors.reindex(target_table(store)["image"]).dropna(axis=1, how="all")
    return seed_reliability(errors.to_numpy().T).mean_icc if min(errors.shape) > 1 else float("nan")


def _models(frame: pd.DataFrame, wide: pd.DataFrame, scores: Sequence[str], seed: int | None) -> pd.DataFrame:
    layers = layer_order([str(name).split(":", 1)[1] for name in wide.columns])
    sets = {layer: [f"{name}:{layer}" for name in JOINT if f"{name}:{layer}" in wide.columns] for layer in layers}
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
        first, second = (f"{name}:{layer}" for name in PAIR)
        if first in wide.columns and second in wide.columns:
            for score in scores:
                row = compare_correlations(frame, first, second, score, "pearson", n_bootstrap, seed)
                rows.append(row.assign(layer=layer, score=score, first=PAIR[0], second=PAIR[1]))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["layer", "score"])


def _write_scores(store: str | Path, scores: pd.DataFrame, recipe: Mapping[str, Any], attrs: Mapping[str, Any]) -> None:
    zarr_store.remove(store, "scores")
    coords = {"score": [str(name) for name in scores.columns], "target": [str(name) for name in scores.index]}
    zarr_store.allocate(store, "scores", coords=coords, chunks={}, recipe=recipe, attrs=attrs)
    zarr_store.write(store, "scores", "value", scores.to_numpy(dtype=float).T)


def _recipe(
    scores_file: str | Path,
    image_column: str,
    columns: Sequence[str],
    methods: Sequence[str],
    given: Sequence[str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    digest = hashlib.sha256(Path(scores_file).read_bytes()).hexdigest()
    told = {"scores": digest, "image": image_column, "columns": list(columns)}
    return told | {"methods": list(methods), "given": list(given), **options}
