"""What a store says about how it was made and what went wrong, as plain data for the report."""

from __future__ import annotations

import itertools
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from distspc import store as zarr_store
from distspc.csv_tables import listed
from distspc.failures import Failure, stored_failures
from distspc.notices import Notice, stored_notices
from distspc.tables import MEASURES, has_variable, reconstruction_errors, target_table

PACKAGES = ("distspc", "numpy", "scipy", "tensorflow", "keras", "dask", "distributed", "zarr", "xarray", "pillow",
            "opencv-python-headless", "statsmodels", "scikit-learn")  # fmt: skip


class Stage(NamedTuple):
    """One stage as the page shows it: settings by name, and when its data were written."""

    name: str
    settings: dict[str, str]
    written: str


def _has(store: str | Path, group: str) -> bool:
    return zarr_store.exists(store, group)


def _layers_of(store: str | Path, group: str, layers: Sequence[str]) -> list[str]:
    known = zarr_store.labels(store, group, "layer") if _has(store, group) else []
    return [layer for layer in layers if layer in known]


# ---------------------------------------------------------------------------------------------- how it was made


def flattened(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings of a recipe as text, nested ones with their path."""
    found: dict[str, str] = {}
    for key, value in recipe.items():
        name = f"{prefix}{key}".replace("_", " ").replace("-", " ")
        if isinstance(value, Mapping):
            found |= flattened(value, f"{name} ")
        elif value is not None and value not in ("", []):
            found[name] = _as_text(value)
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(str(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)


def _recipe(store: str | Path, group: str) -> dict[str, str]:
    return flattened(zarr_store.attributes(store, group).get("recipe", {})) if _has(store, group) else {}


def has_random_weights(store: str | Path) -> bool:
    """Whether the activations come from a network whose weights are random numbers."""
    groups = [name for name in zarr_store.groups(store) if name.startswith("activations/")]
    settings = [item for name in groups for item in _recipe(store, name).items()]
    return any("weights" in key and value.lower().startswith("random") for key, value in settings)


def stages(store: str | Path, layers: Sequence[str]) -> list[Stage]:
    """Return settings and times of every stage whose results are in the store."""
    made = []
    with_activations = [layer for layer in layers if _has(store, f"activations/{layer}")]
    recipes = [_recipe(store, f"activations/{layer}") for layer in with_activations]
    if recipes:
        common = {k: v for k, v in recipes[0].items() if all(r.get(k) == v for r in recipes)}
        made.append(Stage("Activations", common, written(store, [f"activations/{x}" for x in with_activations])))
    for group, name in (("distances", "Distances"), ("reconstruction", "Sparse coding"), ("relations", "Relations")):
        if _has(store, group):
            # Relations also remember the settings of the stages they rest on, which are shown with those.
            settings = {k: v for k, v in _recipe(store, group).items() if not k.startswith(("measures ", "layers"))}
            made.append(Stage(name, settings, written(store, [group])))
    return made


def written(store: str | Path, groups: Iterable[str]) -> str:
    """When some groups were written: first to last, and how long that is."""
    times = [time for group in groups if (time := zarr_store.written(store, group)) is not None]
    if not times:
        return ""
    first, last = min(time[0] for time in times), max(time[1] for time in times)
    text = f"{first:%Y-%m-%d %H:%M:%S} to " + (
        f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    )
    return f"{text} UTC ({duration((last - first).total_seconds())})"


def duration(seconds: float) -> str:
    """Time span in words, such as ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def environment() -> dict[str, str]:
    """Versions of the software and the machine that wrote the report."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["system"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores" if sys.platform else ""
    found["report"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return found


def facts(
    store: str | Path, n_targets: int, n_fillers: int, layers: Sequence[str], scores: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the counts at the top of the page."""
    counts = {"target": n_targets, "filler": n_fillers, "layer": len(layers)}
    if _has(store, "reconstruction"):
        counts["seed"] = len(zarr_store.labels(store, "reconstruction", "seed"))
    counts["score"] = len(scores)
    return [(f"{n:,}", name if n == 1 else f"{name}s") for name, n in counts.items()]


# ---------------------------------------------------------------------------------------------- sparse coding


def training(store: str | Path, layers: Sequence[str]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Training error and convergence of every batch by layer, arrays (seeds, batches); seeds not done are left out."""
    curves, converged = {}, {}
    if not all(has_variable(store, "reconstruction", name) for name in ("training_error", "converged")):
        return {}, {}  # not every solver trains in batches
    for layer in _layers_of(store, "reconstruction", layers):
        at = zarr_store.position(store, "reconstruction", "layer", layer)
        errors = zarr_store.read(store, "reconstruction", "training_error", layer=at)
        done = np.isfinite(errors).any(axis=1)
        if done.any():
            curves[layer] = errors[done]
            converged[layer] = zarr_store.read(store, "reconstruction", "converged", layer=at)[done]
    return curves, converged


def shortened(store: str | Path, layers: Sequence[str]) -> dict[str, tuple[int, int, float]]:
    """By layer, over the seeds done: batches whose step was shortened, all batches, and the shortest step."""
    if not all(has_variable(store, "reconstruction", name) for name in ("n_shortened", "smallest_step", "n_steps")):
        return {}  # a store from before steps were shortened
    found = {}
    for layer in _layers_of(store, "reconstruction", layers):
        at = zarr_store.position(store, "reconstruction", "layer", layer)
        counts = zarr_store.read(store, "reconstruction", "n_shortened", layer=at)
        steps = zarr_store.read(store, "reconstruction", "smallest_step", layer=at)
        if (known := counts >= 0).any() and np.isfinite(steps[known]).any():
            n_batches = int(known.sum()) * zarr_store.sizes(store, "reconstruction")["batch"]
            found[layer] = int(counts[known].sum()), n_batches, float(np.nanmin(steps[known]))
    return found


def seed_pairs(
    store: str | Path, layers: Sequence[str], seeds: Sequence[int] | None = None
) -> tuple[dict[str, list[float]], int]:
    """Correlations of the reconstruction errors of targets between every two seeds, by layer; number of seeds."""
    targets, pairs, most = list(target_table(store)["image"]), {}, 0
    for layer in _layers_of(store, "reconstruction", layers):
        errors = reconstruction_errors(store, layer, seeds).reindex(targets).dropna(axis=1, how="all")
        n, most = errors.shape[1], max(most, errors.shape[1])
        if n > 1 and (errors.std() > 0).all():
            table = errors.corr().to_numpy()
            pairs[layer] = [float(table[i, j]) for i, j in itertools.combinations(range(n), 2)]
    return pairs, most


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


def problems(store: str | Path, table: pd.DataFrame, layers: Sequence[str]) -> list[str]:
    """Return a sentence for everything that did not go as it should."""
    seeds = zarr_store.labels(store, "reconstruction", "seed") if _has(store, "reconstruction") else None
    failures = stored_failures(store, layers=layers, seeds=seeds)
    found = [f"{failure.sentence[:1].upper()}{failure.sentence[1:]}." for failure in failures]
    found += _unfinished(table, failures)
    found += _not_converged(store, layers)
    if n := len(duplicates(table)):
        found.append(f"{n} targets have an exact duplicate: distance 0 at every layer (listed below).")
    return found


def left_out(store: str | Path, layers: Sequence[str], *, with_scores: bool = True) -> list[Notice]:
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
    if _has(store, "skipped") and (n := zarr_store.sizes(store, "skipped").get("skipped", 0)):
        n_all = n + zarr_store.sizes(store, "images")["image"]
        found.append(Notice(f"{n} of {n_all} image files could not be used and were left out.", 10 * n > n_all))
    groups = ["images", *(f"activations/{layer}" for layer in layers), "distances", "reconstruction"]
    found += stored_notices(store, [*groups, *(("scores", "relations") if with_scores else ())])
    return found + (_unmatched(store) if with_scores and _has(store, "scores") else [])


def _unmatched(store: str | Path) -> list[Notice]:
    """What the scores of a store from before notices were kept say of themselves."""
    known = zarr_store.attributes(store, "scores")
    if "matching" in known.get("notices", {}):
        return []
    words = {"without_score": "targets have no score", "without_image": "rows of scores name no target"}
    return [Notice(f"{len(known[key])} {text}: {listed(known[key])}.") for key, text in words.items() if known.get(key)]


def _unfinished(table: pd.DataFrame, failures: Iterable[Failure]) -> list[str]:
    """Sentences about targets without a measure, but for layers that have one already that says why."""
    found = []
    for stage, measure in (("distances", "distinctiveness"), ("reconstruct", "reconstruction_error")):
        told = [failure.layer for failure in failures if failure.stage in (stage, "extract")]
        if measure in table.columns:
            missing = table.loc[table[measure].isna() & ~table["layer"].isin(told), "layer"].value_counts(sort=False)
            found += [f"{MEASURES[measure]} is missing for {n} targets at {layer}." for layer, n in missing.items()]
    return found


def _not_converged(store: str | Path, layers: Sequence[str]) -> list[str]:
    _, converged = training(store, layers) if _has(store, "reconstruction") else ({}, {})
    found = []
    for layer, flags in converged.items():
        if not flags.all():
            n = int((~flags).sum())
            share = f"{100 * n / flags.size:.1f}"
            found.append(f"{layer}: the code of {n} of {flags.size} training batches ({share} %) did not converge.")
    return found
