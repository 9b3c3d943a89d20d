"""What a store holds, as tables: one row per target and layer, and back; NetCDF for everybody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distspc import schema
from distspc import store as zarr_store
from distspc.errors import InputError
from distspc.failures import stored_failures
from distspc.kernels.reliability import seed_reliability
from distspc.layers import VGG16_LAYERS
from distspc.scores import free_names

StorePath = str | Path

MEASURES: dict[str, str] = {
    "distinctiveness": "distinctiveness",
    "reconstruction_error": "reconstruction error",
    "norm": "activation norm",
    "mean_distance": "mean distance to the nearest neighbours",
    "pool_distance": "mean distance to the pool",
}
"""Measures of an image by column of the tidy table, with their names in words."""

OWN_COLUMNS = (
    *("image", "file", "layer", "neighbour", *MEASURES),
    *(f"reconstruction_error_{name}" for name in ("sd", "icc", "reliability")),
)
"""Columns that a tidy table may have beside the scores."""

JOINT = ("distinctiveness", "reconstruction_error", "norm")
"""Measures of a layer that are controlled for one another, make the joint model, and stand in figures and sentences."""


def layer_order(layers: Sequence[str]) -> list[str]:
    """Layers from the image upward; names that are not of VGG-16 come last, as found."""
    rank = {name: i for i, name in enumerate(sorted(VGG16_LAYERS, key=_depth))}
    return sorted(dict.fromkeys(layers), key=lambda name: rank.get(name, len(rank)))


def _depth(layer: str) -> tuple[int, int, str]:
    top = {"flatten": 6, "fc1": 7, "fc2": 8, "predictions": 9}
    return (int(layer[5]), layer.endswith("_pool"), layer) if layer.startswith("block") else (top[layer], 0, layer)


def image_table(store: StorePath) -> pd.DataFrame:
    """Return the images of a store in pool order: targets, then fillers.

    Returns
    -------
    DataFrame
        Columns as in the schema of group `images`, the id in ``image``.
    """
    names = [name for name in schema.variables("images") if has_variable(store, "images", name)]
    return pd.DataFrame({name: zarr_store.read(store, "images", name).tolist() for name in names})


def target_table(store: StorePath) -> pd.DataFrame:
    """Return the targets of a store, numbered from 0.

    Raises
    ------
    InputError
        If the store has no images yet.
    """
    images = image_table(store)
    if images.empty:
        raise InputError(f"{store} holds no images yet: run `distspc extract` first")
    return images[images["role"] == "target"].reset_index(drop=True)


def has_variable(store: StorePath, group: str, variable: str) -> bool:
    """Whether a group of the store has this variable."""
    return (Path(store) / group / variable / "zarr.json").exists()


def read_scores_of(store: StorePath) -> pd.DataFrame:
    """Return the scores kept in a store: a row per target, a column per score; no columns before `relate`."""
    if not zarr_store.exists(store, "scores"):
        return pd.DataFrame(index=pd.Index(target_table(store)["image"]))
    values = zarr_store.read(store, "scores", "value").T
    targets = zarr_store.labels(store, "scores", "target")
    return pd.DataFrame(values, index=pd.Index(targets), columns=zarr_store.labels(store, "scores", "score"))


def _distances(store: StorePath, layer: str, images: Sequence[str]) -> dict[str, Any]:
    """Columns of one layer from group `distances`, by target of that group."""
    if not zarr_store.exists(store, "distances") or layer not in zarr_store.labels(store, "distances", "layer"):
        return {}
    at = zarr_store.position(store, "distances", "layer", layer)
    targets = zarr_store.labels(store, "distances", "target")
    nearest = zarr_store.read(store, "distances", "neighbour_index", layer=at, neighbour=0)
    names = np.append(np.asarray(images, dtype=object), "")  # -1, no neighbour, is the last
    columns: dict[str, Any] = {
        "neighbour": pd.Series(names[nearest], index=targets, dtype="str"),
        "distinctiveness": pd.Series(zarr_store.read(store, "distances", "distance", layer=at, neighbour=0), targets),
    }
    several = zarr_store.sizes(store, "distances").get("neighbour", 1) > 1
    for name in ("mean_distance", "pool_distance") if several else ("pool_distance",):
        if has_variable(store, "distances", name):
            columns[name] = pd.Series(zarr_store.read(store, "distances", name, layer=at), targets)
    if has_variable(store, "distances", "norm"):
        known = has_variable(store, "distances", "image")
        pool = zarr_store.labels(store, "distances", "image") if known else list(images)
        columns["norm"] = pd.Series(zarr_store.read(store, "distances", "norm", layer=at), pool)
    return columns


def reconstruction_errors(store: StorePath, layer: str, seeds: Sequence[int] | None = None) -> pd.DataFrame:
    """Reconstruction error of every image (rows) and seed (columns; some or all) at a layer; NaN if not done yet."""
    if not zarr_store.exists(store, "reconstruction") or layer not in zarr_store.labels(
        store, "reconstruction", "layer"
    ):
        return pd.DataFrame()
    at = zarr_store.position(store, "reconstruction", "layer", layer)
    errors = zarr_store.read(store, "reconstruction", "error", layer=at)
    images = zarr_store.labels(store, "reconstruction", "image")
    known = zarr_store.labels(store, "reconstruction", "seed")
    wanted = [seed for seed in known if seeds is None or seed in seeds]
    return pd.DataFrame(errors.T, index=images, columns=known)[wanted]


def _reconstruction(store: StorePath, layer: str, seeds: Sequence[int] | None) -> dict[str, Any]:
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


def _empty_columns(store: StorePath, layer: str) -> dict[str, Any]:
    """Columns of what could not be computed at a layer."""
    distances: dict[str, Any] = {"neighbour": "", "distinctiveness": np.nan}
    errors: dict[str, Any] = {"reconstruction_error": np.nan}
    of_stage = {"extract": distances | errors, "distances": distances, "reconstruct": errors}
    failed = [of_stage[one.stage] for one in stored_failures(store) if one.layer == layer]
    return {name: value for columns in failed for name, value in columns.items()}


def measured_layers(store: StorePath) -> list[str]:
    """Layers that have a measure, or could not be measured, from the image upward."""
    found = [failure.layer for failure in stored_failures(store) if failure.layer]
    for group in ("distances", "reconstruction"):
        if zarr_store.exists(store, group):
            found += zarr_store.labels(store, group, "layer")
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
        Columns ``image`` (id), ``file``, ``layer``, ``neighbour`` (id of the nearest neighbour),
        ``distinctiveness`` (distance to it, in units of activation), ``reconstruction_error`` (mean squared error of
        the sampled units in units of their 95 % quantile, mean over seeds), ``reconstruction_error_sd`` (over
        seeds, where there are several), ``reconstruction_error_icc`` and ``reconstruction_error_reliability`` (of one
        seed and of the mean over seeds, the same for all rows of a layer), ``norm`` and further distances where they
        were asked for, then the scores, one called as a column of the table as ``score:norm``. What is not computed
        yet is missing.

    Raises
    ------
    InputError
        If the store has no images yet.
    """
    images, targets = image_table(store), target_table(store)
    parts = []
    for layer in (name for name in measured_layers(store) if layers is None or name in layers):
        columns = {**_distances(store, layer, list(images["image"])), **_reconstruction(store, layer, seeds)}
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


def measures_of(table: pd.DataFrame) -> list[str]:
    """Names of the measures that a tidy table has."""
    return [name for name in MEASURES if name in table.columns and table[name].notna().any()]


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per target with a column ``measure:layer`` for each measure and layer that has values."""
    wide = {}
    order = pd.Index(dict.fromkeys(table["image"]), name="image")
    for layer in layer_order(list(table["layer"])):
        part = table[table["layer"] == layer].set_index("image")
        for name in measures_of(part):
            wide[f"{name}:{layer}"] = part[name].reindex(order)
    return pd.DataFrame(wide, index=order)


def write_table(
    store: StorePath,
    group: str,
    frame: pd.DataFrame,
    *,
    recipe: Mapping[str, Any],
    attrs: Mapping[str, Any] | None = None,
) -> None:
    """Replace a group of the store by a table, a variable per column.

    Columns the schema does not know are left out; text and numbers keep the schema's types. The recipe comes last: a
    table cut short does not pass for one of this recipe.
    """
    rows = schema.variables(group)
    names = [name for name in rows if name in frame.columns]
    dim = rows[names[0]].dims[0]
    zarr_store.remove(store, group)
    zarr_store.allocate(
        store, group, coords={dim: len(frame)}, chunks={}, recipe={}, variables=names, attrs=dict(attrs or {})
    )
    for name in names if len(frame) else []:
        values = frame[name].astype(str).tolist() if rows[name].dtype == "str" else frame[name].to_numpy()
        zarr_store.write(store, group, name, values)
    zarr_store.note(Path(store) / group, recipe=dict(recipe))


def read_table_of(store: StorePath, group: str) -> pd.DataFrame:
    """Return a group that `write_table` wrote; an empty table where there is none."""
    if not zarr_store.exists(store, group):
        return pd.DataFrame(columns=list(schema.variables(group)))
    names = [name for name in schema.variables(group) if has_variable(store, group, name)]
    return pd.DataFrame({name: zarr_store.read(store, group, name).tolist() for name in names})


def to_netcdf(store: StorePath, path: str | Path) -> Path:
    """Write the results of a study, without activations and dictionaries, as one NetCDF-4 file with groups.

    Parameters
    ----------
    store
        Path of the store.
    path
        The file to write.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the store holds nothing yet.
    """
    import json

    import xarray as xr

    tree = zarr_store.open_results(store)
    groups = {}
    for name, node in tree.children.items():
        if name == "activations" or not node.has_data:
            continue
        dataset = node.to_dataset().drop_vars("dictionary", errors="ignore").load()
        dataset.attrs = {
            key: value if isinstance(value, str) else json.dumps(value) for key, value in dataset.attrs.items()
        }
        groups[name] = _plain(dataset)
    if not groups:
        raise InputError(f"{store} holds no results yet: run the study first")
    if "failures" in tree.attrs:
        groups["/"] = xr.Dataset(attrs={"failures": json.dumps(tree.attrs["failures"])})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    xr.DataTree.from_dict(groups).to_netcdf(beside, engine="h5netcdf")
    return beside.replace(path)


def _plain(dataset: Any) -> Any:
    """Give a dataset the types that NetCDF knows: text as objects, booleans as bytes."""
    for name, variable in dataset.variables.items():
        kind = variable.dtype.kind
        if kind in "TU":
            dataset[name] = variable.astype(object)
        elif kind == "b":
            dataset[name] = variable.astype("int8")
        dataset[name].encoding = {}
    return dataset
