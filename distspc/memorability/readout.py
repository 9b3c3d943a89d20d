"""How much of a score any linear readout gets: cross-validated kernel ridge, from activations and from all measures.

A task for each layer reads its Gram matrix and keeps what it predicts of every score for every target, fitted to the
others (group `predicted`): a layer's files there are the proof that it is done. All measures together are read out the
same way. The table of both, and of what others predicted, is group `readout`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from distspc.io.files import hex_digest
from distspc.kernels.statistics.ridge import centred_gram, cross_validate
from distspc.layers import by_model, layer_label
from distspc.memorability.correlation import constant_columns, correlate
from distspc.memorability.options import ReadoutOptions, RelateOptions
from distspc.messages import shorten
from distspc.results.measures import column_label, flat_table, pairs_of, wide_table
from distspc.results.stored_tables import write_table
from distspc.results.tidy import labelled_table, read_scores_of
from distspc.store.notices import Notice, keep_notices
from distspc.store.store import Store
from distspc.tasks import task, task_key, tokenize

if TYPE_CHECKING:
    from dask.delayed import Delayed

log = logging.getLogger(__name__)

FEWEST_IMAGES = 10
"""Images with a score under which nothing is read out."""


class Prediction(NamedTuple):
    """What is predicted of images by fits that left them out; NaN where a score is missing or not read out.

    Attributes
    ----------
    prediction, baseline
        Predicted score, and the mean score of the images fitted to, (scores, targets).
    penalty
        Penalty that was chosen without each fold, over the mean squared distance of the features from their mean,
        (scores, folds).
    """

    prediction: np.ndarray
    baseline: np.ndarray
    penalty: np.ndarray


# ---------------------------------------------------------------------------------------------- one readout


def read_out(gram: np.ndarray, scores: np.ndarray, options: ReadoutOptions) -> Prediction:
    """Predict scores from features by their Gram matrix, each image by a fit that left its fold out.

    Parameters
    ----------
    gram
        Inner products of all targets' features, (targets, targets).
    scores
        (targets, scores), NaN where one is missing: each score is read out of the targets that have it.
    options
        Folds and penalties.

    Returns
    -------
    Prediction
        Nothing where the features do not vary over the targets, or too few have a score.
    """
    n_targets, n_scores = scores.shape
    found = Prediction(*(np.full((n_scores, length), np.nan) for length in (n_targets, n_targets, options.n_folds)))
    for known, columns in _alike(np.isfinite(scores)):
        part = gram[np.ix_(known, known)]
        if len(known) >= fewest_images(options) and (unit := _mean_square(part)):
            folds = folds_of(len(known), options)
            penalties = [unit * penalty for penalty in options.penalties]
            fit = cross_validate(part, scores[np.ix_(known, columns)], folds, penalties)
            found.prediction[np.ix_(columns, known)] = fit.prediction.T
            found.baseline[np.ix_(columns, known)] = fit.baseline.T
            found.penalty[columns] = fit.penalty.T / unit
    return found


def fewest_images(options: ReadoutOptions) -> int:
    """Images with a score that a readout needs at least."""
    return max(FEWEST_IMAGES, options.n_folds)


def folds_of(n: int, options: ReadoutOptions) -> np.ndarray:
    """Fold of each of `n` images: those of scikit-learn's shuffled ``KFold``, (n,)."""
    from sklearn.model_selection import KFold

    folds = np.empty(n, dtype=int)
    splits = KFold(options.n_folds, shuffle=True, random_state=options.random_state).split(folds)
    for fold, (_, left) in enumerate(splits):
        folds[left] = fold
    return folds


def _alike(known: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Columns of scores that the same targets have, and the positions of these."""
    columns: dict[bytes, list[int]] = {}
    for column in range(known.shape[1]):
        columns.setdefault(known[:, column].tobytes(), []).append(column)
    return [(np.flatnonzero(known[:, some[0]]), np.array(some)) for some in columns.values()]


def _mean_square(gram: np.ndarray) -> float:
    """Mean squared distance of features from their mean; 0 where they are the same but for rounding."""
    about_mean, about_zero = (float(np.trace(one)) / len(one) for one in (centred_gram(gram), gram))
    return about_mean if about_mean > 1e-12 * about_zero else 0.0


# ---------------------------------------------------------------------------------------------- of every layer


def related_scores(store: Store) -> pd.DataFrame:
    """Scores that are correlated with measures: a row per target, a column per score."""
    scores = read_scores_of(store)
    related = set(store.relations.read("score").tolist()) if store.relations.exists() else set(scores.columns)
    return scores[[name for name in scores.columns if name in related]]


def predicted_recipe(store: Store, scores: pd.DataFrame, options: ReadoutOptions) -> dict[str, Any]:
    """What makes predictions what they are: scores, folds, penalties, and the recipe of the Gram matrices."""
    values = np.ascontiguousarray(scores.to_numpy(dtype=float)).tobytes()
    return {
        "scores": hex_digest("\n".join(map(str, [*scores.columns, *scores.index])).encode() + values),
        "folds": options.n_folds,
        "penalties": list(options.penalties),
        "seed": options.random_state,
        "gram": store.gram.attributes.get("recipe", {}),
    }


def missing(store: Store, layers: Sequence[str], scores: pd.DataFrame, options: ReadoutOptions) -> list[str]:
    """Layers whose predictions are missing, or are of other scores or settings; writes nothing."""
    group = store.predicted
    if not group.exists() or group.attributes.get("recipe") != predicted_recipe(store, scores, options):
        return list(layers)
    known = group.intact_labels("layer")
    done = group.complete("layer")
    return [layer for layer in layers if layer not in known or not done[known.index(layer)]]


def prepare(store: Store, layers: Sequence[str], scores: pd.DataFrame, options: ReadoutOptions) -> None:
    """Allocate the predictions of layers, in place of those of other scores or settings."""
    recipe = predicted_recipe(store, scores, options)
    if store.predicted.exists() and store.predicted.attributes.get("recipe") != recipe:
        store.predicted.remove()
    coords: dict[str, Any] = {
        "layer": list(layers),
        "score": [str(name) for name in scores.columns],
        "target": [str(name) for name in scores.index],
        "fold": options.n_folds,
    }
    store.predicted.allocate(coords=coords, chunks={}, recipe=recipe)


def tasks(store: Store, layers: Sequence[str], scores: pd.DataFrame, options: ReadoutOptions) -> list[Delayed]:
    """Build the task of each layer, whose predictions are allocated and whose Gram matrix is there."""
    values = scores.to_numpy(dtype=float)
    token = tokenize(store, predicted_recipe(store, scores, options))[:8]
    return [
        task(predict_layer)(store, layer, values, options, dask_key_name=task_key("readout", layer, token))
        for layer in layers
    ]


def predict_layer(store: Store, layer: str, scores: np.ndarray, options: ReadoutOptions) -> None:
    """Predict every score from a layer's activations, and write what comes out; nothing where they do not vary."""
    gram = store.gram.read("gram", layer=store.gram.position("layer", layer))
    found = read_out(gram, scores, options)
    row = store.predicted.position("layer", layer)
    for name in ("penalty", "baseline", "prediction"):
        store.predicted.write(name, getattr(found, name), layer=row)


# ---------------------------------------------------------------------------------------------- the table


class Source(NamedTuple):
    """What scores are read from, or were predicted by: its kind, name and layer, with what it predicts.

    Attributes
    ----------
    kind, name, layer
        As in group ``readout`` of the schema.
    found
        What a readout predicts, rows in the order of the scores.
    """

    kind: str
    name: str
    layer: str
    found: Prediction


def stored_sources(store: Store, layers: Sequence[str]) -> list[Source]:
    """Predictions from the activations of some layers, as they are kept."""
    group, found = store.predicted, []
    for layer in layers:
        row = group.position("layer", layer)
        values = (group.read(name, layer=row) for name in Prediction._fields)
        found.append(Source("activations", "", layer, Prediction(*values)))
    return found


def joint_tasks(
    frame: pd.DataFrame, sets: Mapping[str, Sequence[str]], scores: pd.DataFrame, options: ReadoutOptions
) -> list[Delayed]:
    """Build the task of each set of measures, which are read out together; it gives a `Prediction`.

    Parameters
    ----------
    frame
        A row per target, a column per measure; targets that lack one are left out.
    sets
        Names of columns by the layer that the set is called.
    scores
        A row per target, a column per score.
    options
        Folds and penalties.
    """
    values, token = scores.to_numpy(dtype=float), tokenize(frame, scores, options)[:8]
    return [
        task(_read_measures)(
            frame[list(names)].to_numpy(dtype=float), values, options, dask_key_name=task_key("readout", layer, token)
        )
        for layer, names in sets.items()
    ]


def _read_measures(measures: np.ndarray, scores: np.ndarray, options: ReadoutOptions) -> Prediction:
    """Read scores out of measures, each standardised over the targets that have all of them."""
    known = np.isfinite(measures).all(axis=1)
    values = np.zeros_like(measures)
    values[known] = (measures[known] - measures[known].mean(axis=0)) / measures[known].std(axis=0)
    return read_out(values @ values.T, np.where(known[:, None], scores, np.nan), options)


def joint_sets(
    store: Store, *, layers: Sequence[str], seeds: Sequence[int], measures: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Measures of a study, a row per target; and those read out together: all, and all of each of several networks."""
    table = labelled_table(store, layers=layers, seeds=seeds, measures=measures, with_scores=False)
    wide = wide_table(table)
    wide = wide.drop(columns=constant_columns(wide, list(wide.columns)))
    pairs, frame = pairs_of(wide), flat_table(wide)
    own = by_model([layer for _, layer in pairs])
    of_models = {layer_label("all", model): set(some) for model, some in own.items() if model and len(own) > 1}
    sets = {name: [column_label(pair) for pair in pairs if pair[1] in some] for name, some in of_models.items()}
    return frame, sets | ({"all": list(frame.columns)} if len(frame.columns) else {})


def readout_table(
    sources: Sequence[Source],
    brought: pd.DataFrame,
    scores: pd.DataFrame,
    options: ReadoutOptions,
    relate: RelateOptions,
) -> pd.DataFrame:
    """Table of how well each score is predicted, by what.

    Parameters
    ----------
    sources
        Readouts.
    brought
        Predictions that others made: a row per target, a column each.
    scores
        A row per target, a column per score.
    options
        Folds and penalties of the readouts.
    relate
        Resamples, kind of interval, seed.

    Returns
    -------
    DataFrame
        Columns as group ``readout`` of the schema. ``r`` of a readout is that of the score with the predictions, each
        less the mean score of the images it was fitted to: predictions of nothing but means correlate negatively.
    """
    rows = []
    for s, score in enumerate(scores.columns):
        y = scores[score].to_numpy(dtype=float)
        columns = {f"{i}": one.found.prediction[s] - one.found.baseline[s] for i, one in enumerate(sources)}
        columns |= {f"column {name}": brought[name].to_numpy(dtype=float) for name in brought.columns}
        found = _correlated(pd.DataFrame({"score": y, **columns}), relate)
        for i, one in enumerate(sources):
            own = {"kind": one.kind, "name": one.name, "layer": one.layer, "score": score, **found[f"{i}"]}
            penalty = float(np.median(one.found.penalty[s]))
            rows.append(own | {"r2": _r2(y, one.found.prediction[s]), "penalty": penalty, "n_folds": options.n_folds})
        for name in brought.columns:
            own = {"kind": "prediction", "name": name, "layer": "", "score": score, **found[f"column {name}"]}
            rows.append(own | {"r2": np.nan, "penalty": np.nan, "n_folds": 0})
    return pd.DataFrame(rows)


def _correlated(frame: pd.DataFrame, options: RelateOptions) -> dict[str, dict[str, Any]]:
    """Correlation of each column with the score: n, n_missing, r and interval; r is NaN where there is none."""
    names = [name for name in frame.columns if name != "score"]
    known = frame[names].notna() & frame[["score"]].notna().to_numpy()
    counts = {name: {"n": int(known[name].sum()), "n_missing": int((~known[name]).sum())} for name in names}
    usable = [name for name in names if counts[name]["n"] >= FEWEST_IMAGES]
    usable = [name for name in usable if not constant_columns(frame[known[name]], [name, "score"])]
    unknown = dict.fromkeys(("r", "ci_low", "ci_high"), np.nan)
    table = correlate(frame, usable, "score", **options.sampling) if usable else pd.DataFrame({"measure": []})
    found = {row["measure"]: {key: row[key] for key in unknown} for row in table.to_dict("records")}
    return {name: counts[name] | found.get(name, unknown) for name in names}


def _r2(score: np.ndarray, prediction: np.ndarray) -> float:
    """Share of the variance of a score that its predictions explain, below 0 where they are worse than the mean."""
    known = np.isfinite(score) & np.isfinite(prediction)
    if not known.any():
        return float("nan")
    y = score[known]
    return float(1 - np.sum((y - prediction[known]) ** 2) / np.sum((y - y.mean()) ** 2))


def write_readout(store: Store, table: pd.DataFrame, *, recipe: Mapping[str, Any], notices: Sequence[Notice]) -> None:
    """Keep the table, and what is to be said of it."""
    for notice in notices:
        log.log(logging.WARNING if notice.warning else logging.INFO, "%s", notice.text)
    write_table(store.readout, table, recipe=recipe)
    keep_notices(store.readout, "readout", notices)


def readout_notices(table: pd.DataFrame, scores: pd.DataFrame, options: ReadoutOptions) -> list[Notice]:
    """Say which scores are not read out, as too few targets have them, and which features do not vary.

    Parameters
    ----------
    table
        As `readout_table` gives it.
    scores
        A row per target, a column per score.
    options
        Folds and penalties.
    """
    least, n = fewest_images(options), scores.notna().sum()
    few = [f"{name} ({n[name]})" for name in scores.columns if n[name] < least]
    text = f"A readout needs {least} targets with a score; fewer have {shorten(few)}."
    notices = [Notice(text, warning=True)] if few else []
    rows = table[(table["kind"] != "prediction") & table["r2"].isna() & table["score"].isin(n.index[n >= least])]
    same = dict.fromkeys(rows["layer"])
    if same:
        text = f"Nothing is read out of {shorten(same)}: the same for all targets with a score, or known of too few."
        notices.append(Notice(text, warning=True))
    return notices
