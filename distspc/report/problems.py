"""What went wrong or was left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from distspc.measures.registry import MEASURES as MEASURE_WORDS
from distspc.messages import counted, shorten
from distspc.results.measures import MEASURES
from distspc.results.training import is_scaled, training
from distspc.store.failures import Failure, stored_failures
from distspc.store.notices import Notice, stored_notices
from distspc.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


# ---------------------------------------------------------------------------------------------- what went wrong


def duplicates(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Targets whose nearest neighbour is at distance 0 at every layer, with that neighbour."""
    if "distinctiveness" not in table.columns or table.empty:
        return []
    known = table.dropna(subset=["distinctiveness"])
    furthest = known.groupby("image", sort=False)["distinctiveness"].max()
    same = furthest.index[furthest == 0]
    names = known.drop_duplicates("image").set_index("image")["neighbour"]
    return [(str(image), str(names[image])) for image in same]


def problems(store: Store, table: pd.DataFrame, layers: Sequence[str]) -> list[str]:
    """Return a sentence for everything that did not go as it should."""
    seeds = store.reconstruction.labels("seed") if store.reconstruction.exists() else None
    failures = stored_failures(store, layers=layers, seeds=seeds)
    found = [f"{failure.sentence[:1].upper()}{failure.sentence[1:]}." for failure in failures]
    found += _unfinished(table, failures)
    found += _not_converged(store, layers)
    if n := len(duplicates(table)):
        found.append(f"{counted(n, 'target', 'has')} an identical image: distance 0 at every layer (listed below).")
    return found


def left_out(store: Store, layers: Sequence[str], *, with_scores: bool = True) -> list[Notice]:
    """Return what was left out or converted on the way to the results of some layers; empty in a clean study.

    Parameters
    ----------
    store
        Path of the store.
    layers
        Layers of the study.
    with_scores
        Whether the study has scores.
    """
    found = []
    if store.skipped.exists() and (n := store.skipped.sizes.get("skipped", 0)):
        n_all, was = n + store.images.sizes["image"], "was" if n == 1 else "were"
        found.append(
            Notice(f"{counted(n, 'image file', of=n_all)} could not be used and {was} skipped.", 10 * n > n_all)
        )
    groups = [store.images, *map(store.layer, layers), store.distances, store.reconstruction]
    if any(is_scaled(group) for group in groups[-2:]):
        groups += map(store.scaling, layers)
    groups += map(store.measure, MEASURE_WORDS)
    found += stored_notices([*groups, *((store.scores, store.relations, store.readout) if with_scores else ())])
    return found + (_unmatched(store) if with_scores and store.scores.exists() else [])


def _unmatched(store: Store) -> list[Notice]:
    """What the scores of a store from before notices were kept say of themselves."""
    known = store.scores.attributes
    if "matching" in known.get("notices", {}):
        return []
    lost = {
        "without_score": ("target", "has no score"),
        "without_image": ("row of scores", "names no target"),
    }
    return [
        Notice(f"{counted(len(known[key]), noun, verb)}: {shorten(known[key])}.")
        for key, (noun, verb) in lost.items()
        if known.get(key)
    ]


def _unfinished(table: pd.DataFrame, failures: Iterable[Failure]) -> list[str]:
    """Sentences about targets without a measure, but for layers that have one already that says why."""
    found = []
    for stage, measure in (("distances", "distinctiveness"), ("reconstruct", "reconstruction_error")):
        explained = [failure.layer for failure in failures if failure.stage in (stage, "extract")]
        if measure in table.columns:
            missing = table.loc[table[measure].isna() & ~table["layer"].isin(explained), "layer"].value_counts(
                sort=False
            )
            found += [
                f"{MEASURES[measure]} is missing for {counted(n, 'target')} at {layer}." for layer, n in missing.items()
            ]
    return found


def _not_converged(store: Store, layers: Sequence[str]) -> list[str]:
    _, converged = training(store, layers) if store.reconstruction.exists() else ({}, {})
    found = []
    for layer, flags in converged.items():
        if not flags.all():
            n = int((~flags).sum())
            share = f"{100 * n / flags.size:.1f}"
            found.append(
                f"{layer}: the code of {counted(n, 'training batch', of=flags.size)} ({share} %) did not converge."
            )
    return found
