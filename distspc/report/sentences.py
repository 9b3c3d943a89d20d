"""What the numbers of a study say, in sentences: every word is computed, and what is not significant is said so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from distspc.kernels.statistics.inference import holm
from distspc.layers import by_model, split_layer
from distspc.measures.registry import COLUMNS, columns_of
from distspc.measures.registry import MEASURES as FURTHER
from distspc.messages import counted
from distspc.results.measures import (
    MEASURES,
    MODEL_MEASURES,
    Pair,
    controls_of,
    headline_layers,
    pairs_of,
    partial_rows,
    split_label,
    zero_order_rows,
)
from distspc.results.numbers import capitalise, format_quantity, format_r, interval_text, join_words, p_text, percent

LEVEL = 0.05


def _largest(rows: pd.DataFrame, column: str) -> Any:
    """Row with the largest absolute value."""
    return rows.iloc[int(np.nanargmax(rows[column].abs()))]


# ---------------------------------------------------------------------------------------------- findings


def rows_by_layer(relations: pd.DataFrame, score: str, measure: str) -> pd.DataFrame:
    """Zero-order Pearson correlations of a measure with a score that have a value, by layer."""
    rows = zero_order_rows(relations)
    return rows[(rows["score"] == score) & (rows["measure"] == measure) & rows["r"].notna()]


def correlation_sentence(relations: pd.DataFrame, score: str, measure: str) -> str:
    """Say at how many layers a measure correlates with a score, and where most strongly."""
    rows = rows_by_layer(relations, score, measure)
    if rows.empty:
        return ""
    name, best = MEASURES[measure], _largest(rows, "r")
    holds = rows[rows["p_holm"] < LEVEL]
    tests = f"Holm's correction for {int(best['n_tests'])} tests" if best["n_tests"] > 1 else "a single test"
    if holds.empty:
        where = f"at any of the {len(rows)} layers" if len(rows) > 1 else f"at {best['layer']}"
        return (
            f"{capitalise(name)} is not significantly correlated with {score} {where}: the largest correlation is "
            f"{interval_text(best)} ({best['layer']}), which is not significant after {tests} "
            f"({p_text(best['p_holm'])})."
        )
    best = _largest(holds, "r")
    count = _where(list(holds["layer"]), list(rows["layer"]))
    most = f", most strongly at {best['layer']}" if len(rows) > 1 else ""
    return (
        f"{capitalise(name)} correlates with {score} {count} after {tests}{most}: {interval_text(best)}. "
        f"{_direction(holds, measure, score)}"
    )


def network_sentence(relations: pd.DataFrame, score: str, measure: str) -> str:
    """Say how large a measure's largest correlation with a score is in each of several networks."""
    rows = rows_by_layer(relations, score, measure)
    networks = by_model(list(rows["layer"]))
    if len(networks) < 2:
        return ""
    best = [_largest(rows[rows["layer"].isin(own)], "r") for own in networks.values()]
    parts = [f"{format_r(row['r'])} in {'{1} ({0})'.format(*split_layer(row['layer']))}" for row in best]
    return f"By network, the largest correlation of {MEASURES[measure]} with {score} is {join_words(parts)}."


def _where(some: Sequence[str], all_layers: Sequence[str]) -> str:
    """Return ``at fc2``, ``at 3 of 7 layers`` or ``at all 7 layers``."""
    if len(all_layers) == 1:
        return f"at {next(iter(all_layers))}"
    return (
        f"at all {len(all_layers)} layers"
        if len(some) == len(all_layers)
        else f"at {len(some)} of {len(all_layers)} layers"
    )


def _at(layer: str) -> str:
    """Return `` at fc2``; nothing for a measure of the image itself."""
    return f" at {layer}" if layer else ""


def _named(some: Sequence[str], all_layers: Sequence[str]) -> str:
    """Return ``fc1 and fc2``, or ``all 7 layers``."""
    return f"all {len(all_layers)} layers" if len(some) == len(all_layers) > 1 else join_words(list(some))


def _larger(measure: str) -> str:
    """Images with a larger value of a measure, in words."""
    column = COLUMNS.get(measure)
    return f"Images with a larger {MEASURES[measure]}" if column is None else f"Images that {column.larger}"


def _direction(holds: pd.DataFrame, measure: str, score: str) -> str:
    more = {
        "distinctiveness": "Images farther from their nearest neighbour",
        "reconstruction_error": "Images that are harder to reconstruct",
        "norm": "Images with stronger activation",
    }.get(measure) or _larger(measure)
    up, down = holds[holds["r"] > 0]["layer"], holds[holds["r"] < 0]["layer"]
    if len(up) and len(down):
        return f"The sign changes: positive at {join_words(list(up))}, negative at {join_words(list(down))}."
    return f"{more} have {'larger' if len(up) else 'smaller'} values of {score}."


def partial_sentence(relations: pd.DataFrame, score: str, measure: str, control: str, layer: str = "") -> str:
    """Say whether a measure still correlates with a score when another one, of a layer or of the same, is constant."""
    rows = partial_rows(relations)
    rows = rows[(rows["score"] == score) & (rows["measure"] == measure) & rows["r"].notna()]
    rows = rows[np.array([pairs == [(control, layer or own)] for pairs, own in _with_controls(rows)], dtype=bool)]
    if rows.empty:
        return ""
    where = f"at {layer}" if layer else "of the same layer"
    return _partial_text(rows, f"{MEASURES[control]} {where}", score, measure)


def control_sentence(relations: pd.DataFrame, score: str, measure: str, controls: str) -> str:
    """Say the same of all that a study controls for together, `controls` as the relations have them."""
    rows = partial_rows(relations)
    rows = rows[(rows["score"] == score) & (rows["measure"] == measure) & rows["r"].notna()]
    rows = rows[rows["given"] == controls]
    names = [_control_name(name) for name in controls.split(", ")]
    return _partial_text(rows, join_words(names), score, measure) if len(rows) else ""


def _control_name(label: str) -> str:
    """A control in words: a measure with its layer, or a column."""
    measure, layer = split_label(label)
    if measure in MEASURES:
        return f"{MEASURES[measure]} at {layer}" if layer else MEASURES[measure]
    return label.replace("_", " ")


def _partial_text(rows: pd.DataFrame, controls: str, score: str, measure: str) -> str:
    holds = rows[rows["p_holm"] < LEVEL]
    best = _largest(holds if len(holds) else rows, "r")
    size = "largest partial" if len(rows) > 1 else "partial"
    text = f"Controlling for {controls}, {MEASURES[measure]} "
    if holds.empty:
        where = f"at any of the {len(rows)} layers" if len(rows) > 1 else f"at {best['layer']}"
        test = f"{p_text(best['p_holm'])} after Holm's correction"
        return text + f"is not significantly correlated with {score} {where} ({size} {interval_text(best)}; {test})."
    most = f"largest at {best['layer']}: " if len(rows) > 1 else ""
    where = _where(list(holds["layer"]), list(rows["layer"]))
    return text + f"correlates with {score} {where} ({most}partial {interval_text(best)})."


def across_sentences(relations: pd.DataFrame, score: str) -> list[str]:
    """Say the same for controls that are of another layer."""
    across = partial_rows(relations, method=None)
    across = across[np.array([_is_across(pairs, own) for pairs, own in _with_controls(across)], dtype=bool)]
    found = across[["measure", "given"]].drop_duplicates().itertuples(index=False, name=None)
    return [partial_sentence(across, score, measure, *split_label(given)) for measure, given in found]


def _is_across(controls: Sequence[Pair], own: str) -> bool:
    """Whether what is controlled for is one measure, of another layer."""
    return len(controls) == 1 and controls[0][0] in MEASURES and controls[0][1] not in ("", own)


def _with_controls(rows: pd.DataFrame) -> Iterator[tuple[list[Pair], str]]:
    """What each correlation controls for, and its own layer."""
    return zip(controls_of(rows), rows["layer"], strict=True)


def comparison_sentence(comparisons: pd.DataFrame, score: str) -> str:
    """Say at which layers the two measures correlate differently with a score."""
    rows = comparisons[comparisons["score"] == score] if len(comparisons) else comparisons
    if not len(rows):
        return ""
    holds = rows[holm(rows["williams_p"]) < LEVEL]
    if holds.empty:
        return (
            f"The two measures' correlations with {score} do not differ significantly at any layer (Williams' t, Holm)."
        )
    layers = list(rows["layer"])
    clauses: list[str] = []
    names = {"distinctiveness": holds["difference"] > 0, "reconstruction error": holds["difference"] < 0}
    for name, here in names.items():
        if here.any():
            where = _named(list(holds[here]["layer"]), layers)
            clauses.append(
                f"{name} has the higher correlation with {score} at {where}" if not clauses else f"{name} at {where}"
            )
    return capitalise("; ".join(clauses)) + " (Williams' t of two dependent correlations, Holm)."


def model_sentence(models: pd.DataFrame, score: str) -> str:
    """Say how much of a score's variance the measures explain together."""
    rows = models[(models["score"] == score) & models["r2_cv"].notna()] if len(models) else models
    single = rows[[split_layer(layer)[0] != "all" for layer in rows["layer"]]] if len(rows) else rows
    if not len(single):
        return ""
    best = single.iloc[int(np.argmax(single["r2_cv"]))]
    if best["r2_cv"] <= 0:
        text = (
            f"In multiple regression, no layer's measures predict {score} of images they were not fitted to "
            f"(best cross-validated R² {format_r(best['r2_cv'])}, at {best['layer']})."
        )
    else:
        text = (
            f"In multiple regression, the measures of {best['layer']} explain {percent(best['r2_cv'])} of the variance "
            f"of {score} in images they were not fitted to (cross-validated R²; the best of "
            f"{counted(len(single), 'layer')})."
        )
    whole = rows[rows["layer"] == "all"]
    if len(whole) and len(single) > 1:
        share = whole.iloc[0]["r2_cv"]
        share_text = f"explain {percent(share)}" if share > 0 else f"predict worse than the mean (R² {format_r(share)})"
        text += f" All {int(whole.iloc[0]['n_measures'])} measures of all layers {share_text}."
    return text


def score_sentences(relations: pd.DataFrame, models: pd.DataFrame, comparisons: pd.DataFrame, score: str) -> list[str]:
    """All that is to be said about one score."""
    present = [name for name in MODEL_MEASURES if name in set(relations["measure"])]
    says = (correlation_sentence, network_sentence)
    texts = [say(relations, score, measure) for measure in present for say in says]
    texts.append(partial_sentence(relations, score, "reconstruction_error", "distinctiveness"))
    texts.append(partial_sentence(relations, score, "distinctiveness", "reconstruction_error"))
    texts += across_sentences(relations, score)
    texts += [comparison_sentence(comparisons, score), model_sentence(models, score)]
    texts.append(further_sentence(relations, score))
    return [sentence for sentence in texts if sentence]


def further_sentence(relations: pd.DataFrame, score: str) -> str:
    """Say of each further measure how strongly it correlates with a score, where it does most."""
    rows = zero_order_rows(relations)
    rows = rows[(rows["score"] == score) & rows["measure"].isin(COLUMNS) & rows["r"].notna()]
    parts = []
    for names in (columns_of([word]) for word in FURTHER):
        own = rows[rows["measure"].isin(names)]
        if len(own):
            best = _largest(own, "r")
            mark = "" if best["p_holm"] < LEVEL else ", not significant"
            parts.append(f"{MEASURES[best['measure']]}{_at(best['layer'])} ({interval_text(best)}{mark})")
    return f"Of the further measures, the largest correlations with {score} are {join_words(parts)}." if parts else ""


def contrast_sentence(relations: pd.DataFrame) -> str:
    """Name the measure that tells scores apart best: significantly correlated with one, and not with another."""
    zero_order = zero_order_rows(relations)
    rows: list[Any] = list(zero_order.itertuples())
    holds = [row for row in rows if row.p_holm < LEVEL]
    fails = {(row.measure, row.layer, row.score): row for row in rows if row.p_holm >= LEVEL}
    pairs = [
        (a, b) for a in holds for b in (fails.get((a.measure, a.layer, s)) for s in zero_order["score"].unique()) if b
    ]
    if not pairs:
        return ""
    a, b = max(pairs, key=lambda pair: abs(pair[0].r) - abs(pair[1].r))
    if abs(a.r) - abs(b.r) < 0.1:
        return ""
    return (
        f"Scores differ: {MEASURES.get(a.measure, a.measure)}{_at(a.layer)} correlates with {a.score} "
        f"({interval_text(a)}) but is not significantly correlated with {b.score} ({interval_text(b)})."
    )


def rank_sentence(relations: pd.DataFrame, score: str) -> str:
    """Say whether rank correlations tell another story than Pearson's."""
    rows = zero_order_rows(relations, method=None)
    table = rows[rows["score"] == score].pivot_table(index=["measure", "layer"], columns="method", values="r")
    if not {"pearson", "spearman"} <= set(table.columns):
        return ""
    apart = (table["pearson"] - table["spearman"]).abs()
    measure, layer = apart.index.to_flat_index()[int(np.nanargmax(apart))]
    return (
        f"Spearman's rank correlations differ from Pearson's by at most {format_r(apart.max())} "
        f"({MEASURES.get(measure, measure)}{_at(layer)})."
    )


def agreement_sentence(wide: pd.DataFrame) -> str:
    """Say how distinctiveness and reconstruction error of a layer correlate with each other."""
    found = {}
    for measure, layer in pairs_of(wide):
        if measure == "distinctiveness" and ("reconstruction_error", layer) in wide.columns:
            found[layer] = float(wide[measure, layer].corr(wide["reconstruction_error", layer]))
    if not found:
        return ""
    low, high = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    if low == high:
        return f"Distinctiveness and reconstruction error of {low} correlate at {format_r(found[low])} with each other."
    return (
        "Distinctiveness and reconstruction error of the same layer correlate with each other between "
        f"{format_r(found[low])} ({low}) and {format_r(found[high])} ({high})."
    )


def reliability_sentence(pairs: dict[str, list[float]], n_seeds: int) -> str:
    """Say how well seeds agree."""
    means = {layer: float(np.mean(values)) for layer, values in pairs.items()}
    if not means:
        return ""
    low = min(means, key=means.__getitem__)
    return (
        f"The reconstruction errors of two seeds correlate at {format_r(float(np.mean(list(means.values()))))} on "
        "average "
        f"over {len(means)} layers ({n_seeds} seeds; lowest {format_r(means[low])} at {low}). No correlation with a "
        "measure can exceed the root of its reliability."
    )


def icc_sentence(table: pd.DataFrame) -> str:
    """Say how reliable one seed's error is, and the mean over seeds, from the tidy table."""
    names = ("reconstruction_error_icc", "reconstruction_error_reliability")
    if not set(names) <= set(table.columns):
        return ""
    single, mean = (table.groupby("layer")[name].first().dropna() for name in names)
    if single.empty:
        return ""
    return (
        f"One seed has an intraclass correlation, ICC(3,1), of {format_r(float(single.min()))} to "
        f"{format_r(float(single.max()))} over the layers; the mean over seeds a reliability of "
        f"{format_r(float(mean.min()))} to {format_r(float(mean.max()))} (Spearman-Brown)."
    )


def training_sentence(curves: dict[str, np.ndarray], converged: dict[str, np.ndarray]) -> str:
    """Say how far training got."""
    if not curves:
        return ""
    share = float(np.mean(np.concatenate([np.ravel(values) for values in converged.values()])))
    first = {layer: np.nanmean(v[:, :5]) for layer, v in curves.items()}
    drops = [np.nanmean(v[:, -5:]) / first[layer] for layer, v in curves.items() if first[layer] > 0]
    drop = float(np.median(drops)) if drops else 1.0
    return (
        f"The sparse code of {percent(share)} of the batches converged. From the first five batches to the last five "
        f"the training error fell to {percent(drop)} (median over layers)."
        if drop < 1
        else f"The sparse code of {percent(share)} of the batches converged, but the training error did not fall "
        f"(the last five batches have {percent(drop)} of the error of the first five, median over layers)."
    )


def step_sentence(shortened: dict[str, tuple[int, int, float]]) -> str:
    """What was shortened: by layer the number of batches, of how many, and the shortest step.

    >>> step_sentence({"block1_pool": (16, 1000, 0.0056), "fc2": (0, 1000, 0.01)})
    'At block1_pool, the step of 16 of 1,000 training batches was shortened, to 0.0056 at least: 0.01 diverges there.'
    """
    some = {layer: row for layer, row in shortened.items() if row[0]}
    if not some:
        return ""
    n, n_batches = (sum(row[i] for row in some.values()) for i in (0, 1))
    least = min(row[2] for row in some.values())
    return (
        f"At {_named(list(some), list(shortened))}, the step of {n:,} of {n_batches:,} training batches was shortened, "
        f"to {least:.2g} at least: 0.01 diverges there."
    )


def distance_sentence(table: pd.DataFrame) -> str:
    """Say where the distances lie, and how many are 0."""
    if "distinctiveness" not in table.columns or table["distinctiveness"].isna().all():
        return ""
    known = table.dropna(subset=["distinctiveness"])
    layers = headline_layers("distinctiveness", list(dict.fromkeys(known["layer"])))
    return " ".join(_nearest(layer, known[known["layer"] == layer]["distinctiveness"]) for layer in layers)


def _nearest(layer: str, values: pd.Series) -> str:
    low, mid, high = values.quantile([0.05, 0.5, 0.95])
    text = (
        f"At {layer} the nearest neighbour is {format_quantity(mid)} away (median; 90 % of the targets: "
        f"{format_quantity(low)} to {format_quantity(high)})."
    )
    zeros = int((values == 0).sum())
    return text + (f" {counted(zeros, 'target', 'has')} an identical image." if zeros else "")
