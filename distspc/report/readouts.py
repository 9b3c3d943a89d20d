"""What is said of upper marks: how well scores are read out of activations and measures, and predicted by others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from distspc.results.measures import MEASURES, zero_order_rows
from distspc.results.numbers import format_r, interval_text, join_words, percent


def caption(readout: pd.DataFrame | None) -> str:
    """Say what the upper marks of a figure are; empty where it has none."""
    if readout is None or not len(readout):
        return ""
    kinds, names = set(readout["kind"]), dict.fromkeys(readout.loc[readout["kind"] == "prediction", "name"])
    own = "Black bars: cross-validated linear readout of all activations of a layer, with 95 % CI, where it predicts "
    parts = (
        [own + "more than the mean; an upper mark, to compare with the size of r."] if "activations" in kinds else []
    )
    if len(kinds) > 1 or "activations" not in kinds:
        across = [*(["all measures read out together"] if "measures" in kinds else [])]
        across += [f"the predictions of {join_words(list(names))}"] if names else []
        parts.append(f"Lines across: {join_words(across)}.")
    return " ".join(["", *parts])


def readout_sentences(readout: pd.DataFrame, relations: pd.DataFrame, score: str) -> list[str]:
    """Say how well a score is predicted from activations, from all measures and by others, and what that means.

    Parameters
    ----------
    readout
        Table of readouts; without columns where there is none.
    relations
        Table of correlations.
    score
        The score.
    """
    if not len(readout):
        return []
    rows = readout[(readout["score"] == score) & np.isfinite(readout["r"].astype(float))]
    layers, together = (rows[rows["kind"] == kind] for kind in ("activations", "measures"))
    texts = _of_layers(layers, relations, score) if len(layers) else []
    texts += [_of_measures(row, score) for row in together[together["layer"] == "all"].to_dict("records")]
    return texts + [_of_others(row, score) for row in rows[rows["kind"] == "prediction"].to_dict("records")]


def _of_layers(rows: pd.DataFrame, relations: pd.DataFrame, score: str) -> list[str]:
    best = rows.iloc[int(np.argmax(rows["r2"]))]
    how = f"(kernel ridge, {int(best['n_folds'])}-fold cross-validation)"
    count = f"; the best of {len(rows)} layers" if len(rows) > 1 else ""
    if best["r2"] <= 0:
        return [
            f"Linear readouts of the activations {how} predict {score} no better than its mean: cross-validated R² "
            f"{format_r(best['r2'])} at {best['layer']}{count}."
        ]
    return [
        f"A linear readout of the activations of {best['layer']} {how} predicts {score} at {interval_text(best)}, "
        f"R² {format_r(best['r2'])}{count}. This is an upper mark for linear readouts of these layers with this many "
        f"images, not a bound: more images or another readout may give more.{_beside(best, relations, score)}"
    ]


def _beside(best: Any, relations: pd.DataFrame, score: str) -> str:
    """How far the measure of a layer with the largest correlation comes; those of the image itself are not read out."""
    rows = zero_order_rows(relations)
    rows = rows[(rows["score"] == score) & rows["r"].notna() & (rows["layer"] != "")]
    if rows.empty:
        return ""
    largest = rows.iloc[int(np.argmax(rows["r"].abs()))]
    name = MEASURES.get(largest["measure"], largest["measure"])
    share = abs(largest["r"]) / best["r"]
    reach = f"{percent(share)} of it" if share < 1 else "more than that"
    of_measure = f"{name} at {largest['layer']} (r = {format_r(largest['r'])})"
    return f" The largest correlation of one measure, {of_measure}, is {reach}."


def _of_measures(row: Any, score: str) -> str:
    n = len(row["name"].split(", "))
    what = f"{n} measures together" if n > 1 else "measure"
    if row["r2"] <= 0:
        return f"The {what}, read out the same way, predict{'s' * (n == 1)} {score} no better than its mean."
    r = interval_text(pd.Series(row))
    return f"The {what}, read out the same way, predict{'s' * (n == 1)} {score} at {r}, R² {format_r(row['r2'])}."


def _of_others(row: Any, score: str) -> str:
    return (
        f"The predictions of {row['name']} correlate with {score} at {interval_text(pd.Series(row))}; if it was "
        "trained on these images, that is more than it would be for new ones."
    )
