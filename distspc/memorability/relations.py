"""Relate the measures of a study to scores of memory."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import free_names
from distspc.io.files import hex_digest
from distspc.kernels.statistics import reliability as kernel
from distspc.kernels.statistics.reliability import seed_reliability
from distspc.layers import by_model, layer_label, layer_order
from distspc.memorability.cautions import cautions
from distspc.memorability.controls import find_controls
from distspc.memorability.correlation import (
    bootstrap_notices,
    compare_correlations,
    constant_columns,
    correlate,
    joint_model,
    with_holm,
)
from distspc.memorability.matching import Match, match_notices, match_scores, skipped_targets
from distspc.memorability.options import METHODS, Interval, Method, RelateOptions, ScoreSource, Test, TrialOptions
from distspc.memorability.score_source import SourceScores, read_columns, read_source
from distspc.memorability.trials import FEWEST, related_scores, reliability_table
from distspc.memorability.within import correlations_within, mixed_models
from distspc.messages import shorten
from distspc.results.measures import MODEL_MEASURES, SEEDED, Pair, column_label, flat_table, pairs_of, wide_table
from distspc.results.stored_tables import write_table
from distspc.results.tidy import labelled_table, target_columns, target_errors, target_table
from distspc.store.format import schema
from distspc.store.format.schema import StorePath
from distspc.store.notices import RULES, Notice, keep_notices, stored_notices
from distspc.store.store import Store

log = logging.getLogger(__name__)

PAPER_PARTIAL = (("reconstruction_error", "fc2"), ("distinctiveness", "block5_pool"))
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
    trials: TrialOptions | None = None,
    measures: Sequence[str] | None = None,
    given: Sequence[str] = (),
    control: Sequence[str] = (),
    within: str | None = None,
    methods: Sequence[Method] = METHODS,
    n_bootstrap: int = RelateOptions.n_bootstrap,
    interval: Interval = RelateOptions.interval,
    random_state: int | None = RelateOptions.random_state,
    test: Test = RelateOptions.test,
    n_permutations: int = RelateOptions.n_permutations,
    score_reliability: Mapping[str, float] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Relate every measure of every layer of a study to every score, and keep the tables in its store.

    It takes seconds, so it runs right here. Group `scores` gets the scores beside their targets, `relations` the
    correlations, `models` the multiple regressions, `comparisons` distinctiveness against reconstruction error; each
    replaces what was there.

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
    trials
        Columns of the responses, where `scores_file` is a table of these: one by one or counts by image, see
        `distspc.memorability.trials.read_responses`. Group `reliability` then gets the split-half reliability of the
        scores that they give, on which the ceilings rest.
    measures
        Further measures, by their words in the study file; all that the store holds by default.
    given
        Further controls, ``measure:layer``: every measure is also correlated given these. Within a layer,
        distinctiveness, reconstruction error and norm are always correlated given one another, and so is the
        paper's pair: reconstruction error of fc2 given distinctiveness of block5_pool.
    control
        Further controls, beside `given` and with these: measures, scores, columns of the image table or of the table
        of scores; labels as fixed effects (see `distspc.memorability.controls.find_controls`). They are in the multiple
        regressions too.
    within
        Column of labels such as ``category``: group `within` gets the Pearson correlations within each, `within_mean`
        their meta-analytic mean, `mixed` linear mixed models with a random intercept for each label.
    methods, n_bootstrap, interval, random_state, test, n_permutations
        As in `distspc.correlate`.
    score_reliability
        Reliability of a score (such as its split-half correlation) by column, for the ceiling; it counts before the
        split-half reliability of responses.
    recipe
        Kept with the tables; the settings given here by default.

    Returns
    -------
    DataFrame
        The relations: layer, then columns as in `distspc.correlate`, then ``ceiling``. Holm's correction counts the
        zero-order and the partial correlations of a method as two families.

    Raises
    ------
    InputError
        For scores that cannot be used (see `read_scores`, `match_scores`), or where nothing is measured yet.
    """
    store = Store(store)
    targets = target_table(store)
    source = ScoreSource(scores_file, image_column, tuple(columns), tuple(missing), trials)
    found = read_source(source)
    match = match_scores(targets, found.frame, where=source.where, skipped=skipped_targets(store), called=source.called)
    scores = match.frame.set_axis(pd.Index(targets["image"]))
    notices = [*found.frame.attrs["notices"]]
    scores, related = _related(scores, found, source, notices)
    reliability = _reliabilities(found, match, score_reliability or {}, notices)
    measured = labelled_table(store, layers=layers, seeds=seeds, measures=measures, with_scores=False)
    wide = _varying(wide_table(measured), notices)
    for sentence in notices:
        log.warning(sentence)
    if wide.empty:
        raise InputError(f"{store} holds no measures yet: run `distspc distances` or `distspc reconstruct` first")
    flat = flat_table(wide)
    absent = [name for name in given if name not in flat.columns]
    if absent:
        raise InputError(f"no measure {shorten(absent)} to control for; there are {shorten(flat.columns, most=40)}")
    options = RelateOptions(
        n_bootstrap, interval, tuple(given), random_state, tuple(control), within, test, n_permutations
    )
    columns_of = free_names([str(name) for name in scores.columns], list(flat.columns))
    tables = {"measures": flat, "scores": scores.rename(columns=columns_of), **_columns_of_tables(store, match, source)}
    table = _with_controls(tables, options, notices)
    table.scores, table.score_of = [columns_of[name] for name in related], {v: k for k, v in columns_of.items()}
    table.pairs = pairs_of(wide)
    relations = _named(_relations(table, methods, options), table.score_of)
    relations["ceiling"] = _ceilings(store, relations, _used(reliability, score_reliability or {}), seeds)
    own = _recipe(source, related, methods, options)
    recipe = own if recipe is None else recipe
    _keep_scores(store, match, targets, scores, recipe, source)
    for group in (schema.RELIABILITY, *_WITHIN):
        store[group].remove()
    if found.responses is not None:
        keep_notices(store.scores, RULES, [*stored_notices([store.scores], key=RULES), found.responses.described()])
        write_table(store[schema.RELIABILITY], reliability, recipe=recipe)
    keep_notices(store.scores, "reading", map(Notice, notices))
    models = _models(table, options)
    comparisons = _comparisons(table.frame, table.pairs, table.scores, options)
    said = _keep_within(store, table, recipe)
    attrs: dict[str, Any] = {"n_bootstrap": n_bootstrap, "interval": interval, "n_targets": len(targets)}
    if table.controls:
        attrs["controls"] = ", ".join(table.controls)
    if test == "permutation":
        attrs["n_permutations"] = n_permutations
    write_table(store.models, _named(models, table.score_of), recipe=recipe)
    write_table(store.comparisons, _named(comparisons, table.score_of), recipe=recipe)
    write_table(store.relations, relations, recipe=recipe, attrs=attrs)  # last: its being there says all is
    sentences = bootstrap_notices(relations)
    keep_notices(store.relations, "bootstrap", [Notice(s, warning="no bootstrap p" in s) for s in sentences])
    keep_notices(store.relations, "within", said)
    keep_notices(store.relations, "cautions", cautions(table.frame, list(table.labels), table.others, relations))
    return relations


@dataclass
class _Table:
    """What is correlated: a row per image, and what its columns are."""

    frame: pd.DataFrame
    """A column ``measure:layer`` for each pair, then scores, then controls."""
    controls: list[str]
    within: pd.Series | None = None
    """Category of each image, for correlations within each."""
    pairs: list[Pair] = field(default_factory=list)
    scores: list[str] = field(default_factory=list)
    score_of: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, Pair]:
        """Measures by their columns."""
        return {column_label(pair): pair for pair in self.pairs}

    @property
    def others(self) -> list[str]:
        """Scores and controls, but for measures."""
        return [name for name in dict.fromkeys([*self.scores, *self.controls]) if name not in self.labels]


def _columns_of_tables(store: Store, match: Match, source: ScoreSource) -> dict[str, pd.DataFrame]:
    """Columns of the image table and of the table of scores, by target."""
    images = target_columns(store)
    found = {"columns of the image table": images}
    rows = read_columns(source)
    if not rows.empty:
        named = rows.reindex([row or None for row in match.rows]).set_axis(images.index)
        found["columns of the table of scores"] = named
    return found


def _with_controls(tables: Mapping[str, pd.DataFrame], options: RelateOptions, notices: list[str]) -> _Table:
    """Measures, scores and controls side by side; controls that say nothing are left out, and said."""
    flat, scores = tables["measures"], tables["scores"]
    found = find_controls(options.control, tables)
    same = [name for name in found.columns if len(found[name].dropna().unique()) < 2]
    few = [name for name in found.columns if found[name].notna().sum() < FEWEST and name not in same]
    for names, why in ((same, "the same for all images"), (few, f"fewer than {FEWEST} images have it")):
        if names:
            notices.append(f"not controlled for, {why}: {', '.join(names)}")
    controls = list(dict.fromkeys([*options.given, *(name for name in found.columns if name not in same + few)]))
    frame = flat.join(scores, validate="one_to_one")
    frame = frame.join(found[[name for name in controls if name not in frame.columns]])
    if options.within is None:
        return _Table(frame, controls)
    return _Table(frame, controls, find_controls([options.within], tables, key="within", labels=True).iloc[:, 0])


_WITHIN = (schema.WITHIN, schema.WITHIN_MEAN, schema.MIXED)


def _keep_within(store: Store, table: _Table, recipe: Mapping[str, Any]) -> list[Notice]:
    """Write what is within categories; returns what is to be said of it."""
    if table.within is None:
        return []
    measures, labels = list(table.labels), table.within
    within, means, said = correlations_within(table.frame, measures, table.scores, labels)
    controls = [name for name in table.controls if name != labels.name]
    mixed, more = mixed_models(table.frame, measures, table.scores, labels, controls)
    attrs = {"within": str(labels.name)}
    for name, found in zip(_WITHIN, (within, means, mixed), strict=True):
        write_table(store[name], _named(_by_layer(found, table, name), table.score_of), recipe=recipe, attrs=attrs)
    return [*said, *more]


def _by_layer(found: pd.DataFrame, table: _Table, group: str) -> pd.DataFrame:
    """A table with measure and layer apart; with the columns of its group where it has no rows."""
    if found.empty:
        return pd.DataFrame({name: [] for name in schema.variables(group)})
    measures, layers = zip(*(table.labels[label] for label in found["measure"]), strict=True)
    return found.assign(measure=measures, layer=layers)


def _related(
    scores: pd.DataFrame, found: SourceScores, source: ScoreSource, notices: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Scores to keep, and those of them to correlate; sentences about what is left out are added."""
    if found.responses is not None:
        return scores, related_scores(scores, source.columns, notices, where=source.where)
    kept = scores if source.columns else _varying(scores, notices)
    return kept, [str(name) for name in kept.columns]


def _reliabilities(found: SourceScores, match: Match, given: Mapping[str, float], notices: list[str]) -> pd.DataFrame:
    """Split-half reliability of the scores of the targets, a row each; sentences about it are added."""
    if found.responses is None:
        return pd.DataFrame()
    rows = found.frame.index.get_indexer(pd.Index([row for row in match.rows if row]))
    table, sentences = reliability_table(found.responses, rows.tolist(), given)
    notices += sentences
    return table


def _keep_scores(
    store: Store,
    match: Match,
    targets: pd.DataFrame,
    scores: pd.DataFrame,
    recipe: Mapping[str, Any],
    source: ScoreSource,
) -> None:
    """Write the scores beside their targets, and by which rule they were matched and what has no partner."""
    matching = {
        "key": match.key,
        "without_score": list(match.without_score),
        "without_image": list(match.without_image),
    }
    origin = {"file": str(source.file), "column": source.image}
    _write_scores(store, scores, recipe, {**origin, **matching})
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
        notices.append(f"the same for all images, left out: {shorten(map(column_label, constant))}")
    return frame.drop(columns=constant)


def _relations(table: _Table, methods: Sequence[Method], options: RelateOptions) -> pd.DataFrame:
    """Zero-order and partial correlations of all measures."""
    labels = table.labels
    controls = [([column_label(control)], [*map(column_label, rest)]) for control, rest in _controls(table.pairs)]
    if table.controls:
        controls.append((table.controls, [label for label in labels if label not in table.controls]))
    parts = []
    for method in methods:
        zero_order = correlate(table.frame, list(labels), table.scores, (), method, **options.sampling)
        parts.append(with_holm(zero_order, f"{method.capitalize()}'s zero-order correlations of this study"))
        partial = [
            correlate(table.frame, rest, scores, given, method, **options.sampling)
            for given, rest in controls
            if rest and (scores := [score for score in table.scores if score not in given])
        ]
        if partial:
            rows = pd.concat(partial, ignore_index=True).drop_duplicates(_KEY)
            parts.append(with_holm(rows, f"{method.capitalize()}'s partial correlations of this study"))
    found = pd.concat(parts, ignore_index=True)
    measures, layers = zip(*(labels[label] for label in found["measure"]), strict=True)
    return found.assign(measure=measures, layer=layers)[["layer", *found.columns]]


_KEY = ["measure", "given", "score"]


def _model_measures(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """The measures of each layer that are controlled for one another and make its model, from the image upward."""
    layers = layer_order([layer for _, layer in pairs if layer])
    return {layer: [(name, layer) for name in MODEL_MEASURES if (name, layer) in pairs] for layer in layers}


def _controls(pairs: Sequence[Pair]) -> list[tuple[Pair, list[Pair]]]:
    """Each measure as control, with the other measures of its layer; and the paper's pair."""
    controls = [
        (control, [pair for pair in here if pair != control])
        for here in _model_measures(pairs).values()
        for control in here
        if len(here) > 1
    ]
    return controls + [(control, [measure]) for measure, control in _paper_partials(pairs)]


def _paper_partials(pairs: Sequence[Pair]) -> list[tuple[Pair, Pair]]:
    """The paper's measure and control, of each network that has both."""
    models = by_model([layer for _, layer in pairs])
    found = [[(name, layer_label(layer, model)) for name, layer in PAPER_PARTIAL] for model in models]
    return [(measure, control) for measure, control in found if {measure, control} <= set(pairs)]


def _ceilings(
    store: Store, relations: pd.DataFrame, score_reliability: Mapping[str, float], seeds: Sequence[int] | None
) -> np.ndarray:
    """Ceiling of each zero-order correlation: from the score's reliability and the measure's over seeds."""
    found = relations[relations["measure"].isin(SEEDED)][["measure", "layer"]].drop_duplicates()
    pairs = found.itertuples(index=False, name=None)
    known = {(measure, layer): _reliability(store, measure, layer, seeds) for measure, layer in pairs}

    def ceiling(row: Any) -> float:
        if row.given:
            return float("nan")
        measure = known.get((row.measure, row.layer), float("nan"))
        return kernel.attenuation_ceiling([measure, score_reliability.get(row.score, float("nan"))])

    return np.array([ceiling(row) for row in relations.itertuples()])


def _used(split_half: pd.DataFrame, given: Mapping[str, float]) -> dict[str, float]:
    """Reliability of each score that its ceilings rest on: the given one, else that of split halves."""
    return (
        dict(zip(split_half["score"], split_half["used"], strict=True)) | dict(given)
        if len(split_half)
        else dict(given)
    )


def _reliability(store: Store, measure: str, layer: str, seeds: Sequence[int] | None) -> float:
    """Reliability of the mean of a measure over the seeds that are done, among the targets."""
    errors = target_errors(store, layer, seeds, measure=measure)
    return seed_reliability(errors.to_numpy().T).mean_icc if min(errors.shape) > 1 else float("nan")


def _models(table: _Table, options: RelateOptions) -> pd.DataFrame:
    """Multiple regression of each score on the measures of each layer, of each of several networks, and of all.

    What the study controls for is in each beside the measures.
    """
    predictors = {layer: [*map(column_label, here)] for layer, here in _model_measures(table.pairs).items()}
    controls = [name for name in table.controls if name not in options.given or name in options.control]
    of_models = {layer_label("all", model): layers for model, layers in by_model(list(predictors)).items()}
    joint = {name: [label for layer in layers for label in predictors[layer]] for name, layers in of_models.items()}
    predictors |= joint | {"all": [label for labels in joint.values() for label in labels]}
    rows = []
    for score in table.scores:
        given = [name for name in controls if name != score]
        for layer, labels in predictors.items():
            if own := [label for label in labels if label not in given]:
                found = joint_model(table.frame, own, score, controls=given, random_state=options.random_state)
                rows.append({"layer": layer, "score": score, "measures": ", ".join(own)} | found)
    return pd.DataFrame(rows)


def _comparisons(
    frame: pd.DataFrame, pairs: Sequence[Pair], scores: Sequence[str], options: RelateOptions
) -> pd.DataFrame:
    """Comparison of the two measures' correlations with each score, at layers that have both."""
    first, second = COMPARED_MEASURES
    rows = []
    for layer in layer_order([layer for _, layer in pairs]):
        if {(first, layer), (second, layer)} <= set(pairs):
            columns = column_label((first, layer)), column_label((second, layer))
            for score in scores:
                row = compare_correlations(frame, *columns, score, "pearson", options.n_bootstrap, options.random_state)
                rows.append(row.assign(layer=layer, score=score, first=first, second=second))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["layer", "score"])


def _write_scores(store: Store, scores: pd.DataFrame, recipe: Mapping[str, Any], attrs: Mapping[str, Any]) -> None:
    store.scores.remove()
    coords = {"score": [str(name) for name in scores.columns], "target": [str(name) for name in scores.index]}
    store.scores.allocate(coords=coords, chunks={}, recipe=recipe, attrs=attrs)
    store.scores.write("value", scores.to_numpy(dtype=float).T)


def _recipe(
    source: ScoreSource, columns: Sequence[str], methods: Sequence[str], options: RelateOptions
) -> dict[str, Any]:
    scores: dict[str, Any] = {"scores": hex_digest(Path(source.file)), "image": source.image, "columns": list(columns)}
    if source.trials is not None:
        scores["trials"] = asdict(source.trials)
    used = {
        "given": list(options.given),
        **options.sampling,
        "control": list(options.control),
        "within": options.within,
    }
    return scores | {"methods": list(methods), **used}
