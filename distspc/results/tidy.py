"""What a store holds, as tables: one row per target and layer, and back; NetCDF for everybody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import free_names
from distspc.kernels.statistics.reliability import seed_reliability
from distspc.layers import layer_order
from distspc.results.measures import OWN_COLUMNS, with_models
from distspc.store.failures import stored_failures
from distspc.store.schema import StorePath
from distspc.store.store import Store

if TYPE_CHECKING:
    import xarray as xr


def image_table(store: Store) -> pd.DataFrame:
    """Return the images of a store in pool order: targets, then fillers.

    Returns
    -------
    DataFrame
        Columns as in the schema of group `images`, the id in ``image``.
    """
    images = store.images
    return pd.DataFrame({name: images.read(name).tolist() for name in images.schema if images.has(name)})


def target_table(store: Store) -> pd.DataFrame:
    """Return the targets of a store, numbered from 0.

    Raises
    ------
    InputError
        If the store has no images yet.
    """
    return _targets(store, image_table(store))


def _targets(store: Store, images: pd.DataFrame) -> pd.DataFrame:
    if images.empty:
        raise InputError(f"{store} holds no images yet: run `distspc extract` first")
    return images[images["role"] == "target"].reset_index(drop=True)


def read_scores_of(store: Store) -> pd.DataFrame:
    """Return the scores kept in a store: a row per target, a column per score; no columns before `relate`."""
    if not store.scores.exists():
        return pd.DataFrame(index=pd.Index(target_table(store)["image"]))
    return _frame(store.scores.load("value")["value"], "target", "score")


def _frame(values: xr.DataArray, rows: str, columns: str) -> pd.DataFrame:
    """A variable of two dimensions as a table with plain labels."""
    labels = (values.indexes[dim].rename(None) for dim in (rows, columns))
    return pd.DataFrame(values.transpose(rows, columns).to_numpy(), *labels)


def _distances(store: Store, layer: str, images: Sequence[str]) -> dict[str, pd.Series]:
    """Columns of one layer from group `distances`, by image."""
    group = store.distances
    if not group.exists() or layer not in group.labels("layer"):
        return {}
    several = ("mean_distance",) if group.sizes.get("neighbour", 1) > 1 else ()
    others = [name for name in (*several, "pool_distance", "norm") if group.has(name)]
    found = group.load("distance", "neighbour_index", *others, layer=layer)
    if "image" not in found.coords and "image" in found.dims:  # a store from before they were kept here too
        found = found.assign_coords(image=list(images))
    nearest = found.isel(neighbour=0)
    names = np.append(np.asarray(images, dtype=object), "")  # -1, no neighbour, is the last
    neighbour = pd.Series(names[nearest["neighbour_index"]], index=nearest.indexes["target"], dtype="str")
    columns = {"neighbour": neighbour, "distinctiveness": nearest["distance"].to_series()}
    return columns | {name: found[name].to_series() for name in others}


def reconstruction_errors(store: Store, layer: str, seeds: Sequence[int] | None = None) -> pd.DataFrame:
    """Reconstruction error of every image (rows) and seed (columns; some or all) at a layer; NaN if not done yet."""
    group = store.reconstruction
    if not group.exists() or layer not in group.labels("layer"):
        return pd.DataFrame()
    errors = _frame(group.load("error", layer=layer)["error"], "image", "seed")
    return errors[[seed for seed in errors.columns if seeds is None or seed in seeds]]


def _reconstruction(store: Store, layer: str, seeds: Sequence[int] | None) -> dict[str, Any]:
    errors = reconstruction_errors(store, layer, seeds)
    if errors.empty:
        return {}
    columns = {"reconstruction_error": errors.mean(axis=1)}
    errors = errors.dropna(axis=1, how="all")
    if errors.shape[1] > 1 and len(errors) > 1:
        columns["reconstruction_error_sd"] = errors.std(axis=1, ddof=1)
        reliability = seed_reliability(errors.to_numpy().T)
        columns["reconstruction_error_icc"] = pd.Series(reliability.icc, index=errors.index)
        columns["reconstruction_error_reliability"] = pd.Series(reliability.mean_icc, index=errors.index)
    return columns


def _empty_columns(store: Store, layer: str) -> dict[str, Any]:
    """Columns of what could not be computed at a layer."""
    distances: dict[str, Any] = {"neighbour": "", "distinctiveness": np.nan}
    errors: dict[str, Any] = {"reconstruction_error": np.nan}
    of_stage = {"extract": distances | errors, "distances": distances, "reconstruct": errors}
    failed = [of_stage[one.stage] for one in stored_failures(store) if one.layer == layer]
    return {name: value for columns in failed for name, value in columns.items()}


def measured_layers(store: Store) -> list[str]:
    """Layers that have a measure, or could not be measured, from the image upward."""
    found = [failure.layer for failure in stored_failures(store) if failure.layer]
    for group in (store.distances, store.reconstruction):
        if group.exists():
            found += group.labels("layer")
    return layer_order(found)


def tidy_table(
    store: StorePath,
    *,
    layers: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    with_scores: bool = True,
) -> pd.DataFrame:
    """Return all measures of a study, one row per target and layer.

    Parameters
    ----------
    store
        Path of the store.
    layers, seeds
        Those to take of what the store holds; all by default.
    with_scores
        Whether the scores are joined.

    Returns
    -------
    DataFrame
        Columns ``image`` (id), ``file``, ``model`` (only where layers are of several networks), ``layer``,
        ``neighbour`` (id of the nearest neighbour),
        ``distinctiveness`` (distance to it, in units of activation, or in standard deviations of the features where
        these were scaled), ``reconstruction_error`` (mean squared error of the sampled units, scaled by their 95th
        percentile, mean over seeds), ``reconstruction_error_sd`` (over seeds, where there are several),
        ``reconstruction_error_icc`` and ``reconstruction_error_reliability`` (of one seed and of the mean over seeds,
        the same for all rows of a layer), ``norm`` and further distances where they were asked for, then the scores,
        one called as a column of the table as ``score:norm``. What is not computed yet is missing.

    Raises
    ------
    InputError
        If the store has no images yet.
    """
    return with_models(labelled_table(store, layers=layers, seeds=seeds, with_scores=with_scores))


def labelled_table(
    store: StorePath,
    *,
    layers: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    with_scores: bool = True,
) -> pd.DataFrame:
    """Return what `tidy_table` returns, but for layers of several networks: these go by their labels, in one column.

    Parameters
    ----------
    store, layers, seeds, with_scores
        As `tidy_table`.

    Raises
    ------
    InputError
        As `tidy_table`.
    """
    store = Store(store)
    images = image_table(store)
    targets, ids, parts = _targets(store, images), images["image"].tolist(), []
    for layer in (name for name in measured_layers(store) if layers is None or name in layers):
        columns = {**_distances(store, layer, ids), **_reconstruction(store, layer, seeds)}
        part = pd.DataFrame({"image": targets["image"], "file": targets["file"], "layer": layer})
        part = part.assign(**_empty_columns(store, layer))
        for name, values in columns.items():
            part[name] = values.reindex(targets["image"]).to_numpy()
        parts.append(part)
    if not parts:
        return targets[["image", "file"]].assign(layer="").iloc[:0]
    table = pd.concat(parts, ignore_index=True)
    first = ["image", "file", "layer", "neighbour", "distinctiveness", "reconstruction_error"]
    last = [name for name in table.columns if name not in first and table[name].notna().any()]
    table = table[[name for name in first if name in table.columns] + last]
    scores = read_scores_of(store) if with_scores else pd.DataFrame()
    names = score_columns([str(name) for name in scores.columns])
    return table.join(scores.rename(columns=names), on="image") if names else table


def score_columns(scores: Sequence[str]) -> dict[str, str]:
    """Columns of the tidy table that hold the scores: their names, ``score:`` before those of its other columns."""
    return free_names(scores, OWN_COLUMNS)
