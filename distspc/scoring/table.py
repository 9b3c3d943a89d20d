"""What was found of new images as one table: a row per image and layer, with the columns of a study's own table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from distspc.results.measures import with_models
from distspc.results.tidy import reconstruction_errors
from distspc.scoring.columns import stored_values
from distspc.scoring.images import NewImage, columns_of
from distspc.scoring.reference import Reference
from distspc.scoring.results import LayerResults, read_layer
from distspc.store.group import Group
from distspc.store.store import Store

PERCENTILES = ("distinctiveness", "reconstruction_error")
"""Measures that get a percentile among the study's targets."""


def score_table(group: Group, reference: Reference, images: Sequence[NewImage]) -> pd.DataFrame:
    """Return the results of scoring, one row per image and layer.

    Parameters
    ----------
    group
        The results.
    reference
        The study.
    images
        The images, as they were scored.

    Returns
    -------
    DataFrame
        Columns ``image``, ``file``, ``model`` (only where layers are of several networks), ``layer``, ``in_study`` (id
        of the same image in the study, by its bytes; empty where it is new), ``neighbour``, ``distinctiveness`` and
        ``reconstruction_error`` as in a study's own table (`distspc.results.tidy.tidy_table`), with
        ``distinctiveness_percentile`` and ``reconstruction_error_percentile`` (of the study's targets with smaller
        values, equal ones half, 0 to 100), ``reconstruction_error_sd`` and ``reconstruction_error_seed<n>`` where there
        are several seeds, ``mean_distance``, ``neighbour_<k>`` and ``distance_<k>`` where there are several neighbours,
        ``norm``, and those of further measures. What cannot be given is missing.
    """
    return with_models(labelled_scores(group, reference, images))


def labelled_scores(group: Group, reference: Reference, images: Sequence[NewImage]) -> pd.DataFrame:
    """What `score_table` returns, but for layers of several networks: these go by their labels, in one column."""
    ids = reference.store.images.labels("image")
    first = columns_of(images, ids)
    parts = []
    for layer in group.labels("layer"):
        found = read_layer(group, layer)
        part = pd.DataFrame({"image": first["image"], "file": first["file"], "layer": layer})
        part["in_study"] = first["in_study"]
        columns = {**_distances(found, ids), **_errors(found), **_added(found, reference.store, layer)}
        columns = _with_percentiles(columns, reference, layer)
        parts.append(part.assign(**columns))
    table = pd.concat(parts, ignore_index=True)
    kept = ("image", "file", "layer", "in_study", "neighbour", *PERCENTILES)
    return table[[name for name in table.columns if name in kept or table[name].notna().any()]]


def _distances(found: LayerResults, ids: Sequence[str]) -> dict[str, np.ndarray]:
    values, names = found.variables, np.append(np.asarray(ids, dtype=object), "")  # -1, no neighbour, is the last
    distance, neighbour = values["distance"], names[values["neighbour_index"]]
    columns = {"neighbour": neighbour[:, 0], "distinctiveness": distance[:, 0]}
    if distance.shape[1] > 1:
        columns["mean_distance"] = distance.mean(axis=1)
        for k in range(1, distance.shape[1]):
            columns |= {f"neighbour_{k + 1}": neighbour[:, k], f"distance_{k + 1}": distance[:, k]}
    return columns | {"norm": values["norm"]}


def _errors(found: LayerResults) -> dict[str, np.ndarray]:
    errors = {seed: values for seed, values in found.errors.items() if not np.isnan(values).all()}
    if not errors:
        n = len(found.variables["norm"])
        return {"reconstruction_error": np.full(n, np.nan)}
    together = np.array(list(errors.values()))
    columns = {"reconstruction_error": together.mean(axis=0)}
    if len(errors) > 1:
        columns["reconstruction_error_sd"] = together.std(axis=0, ddof=1)
        columns |= {f"reconstruction_error_seed{seed}": values for seed, values in errors.items()}
    return columns


def _added(found: LayerResults, store: Store, layer: str) -> dict[str, np.ndarray]:
    columns = {}
    for name, values in found.added.items():
        if np.isfinite(values).any():
            columns[name] = values
            known = stored_values(store, layer, name)
            if known is not None:
                columns[f"{name}_percentile"] = percentiles(values, known)
    return columns


def _with_percentiles(columns: dict[str, np.ndarray], reference: Reference, layer: str) -> dict[str, np.ndarray]:
    """The columns, with the percentile of each measure behind it."""
    known = target_values(reference, layer)
    found: dict[str, np.ndarray] = {}
    for name, values in columns.items():
        found[name] = values
        if name in known:
            found[f"{name}_percentile"] = percentiles(values, known[name])
    return found


def target_values(reference: Reference, layer: str) -> dict[str, np.ndarray]:
    """Values of the study's targets at a layer by measure, of measures that it has there: finite ones, sorted."""
    found, store = {}, reference.store
    distances = store.distances
    if distances.exists() and layer in distances.intact_labels("layer"):
        found["distinctiveness"] = distances.load("distance", layer=layer)["distance"].to_numpy()[:, 0]
    errors = reconstruction_errors(store, layer, reference.seeds)
    if not errors.empty:
        targets = store.images.read("role") == "target"
        found["reconstruction_error"] = errors[targets].mean(axis=1).to_numpy()
    finite = {name: np.sort(values[np.isfinite(values)]) for name, values in found.items()}
    return {name: values for name, values in finite.items() if len(values)}


def percentiles(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Percentage of some values that are smaller than each of others, equal ones counted half.

    >>> percentiles(np.array([1.0, 2.5, np.nan]), np.array([1.0, 2.0, 3.0, 4.0]))
    array([12.5, 50. ,  nan])
    """
    ordered = np.sort(among)
    below, up_to = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.where(np.isnan(values), np.nan, 100 * (below + up_to) / 2 / max(len(ordered), 1))
