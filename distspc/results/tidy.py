"""What a store holds, as tables: one row per target and layer, and back; NetCDF for everybody else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import free_names
from distspc.kernels.statistics.reliability import seed_reliability
from distspc.layers import layer_order
from distspc.measures.base import Column
from distspc.measures.registry import MEASURES
from distspc.results.measures import OWN_COLUMNS, with_models
from distspc.store.failures import stored_failures
from distspc.store.format.schema import StorePath
from distspc.store.group import Group
from distspc.store.replacement import read_whole
from distspc.store.store import Store

if TYPE_CHECKING:
    import xarray as xr


def image_table(store: Store, named: Collection[str] | None = None) -> pd.DataFrame:
    """Return the images of a store in pool order: targets, then fillers.

    Parameters
    ----------
    store
        The store.
    named
        Ids of those that are wanted; all by default.

    Returns
    -------
    DataFrame
        Columns as in the schema of group `images`, the id in ``image``.
    """
    if named is None:
        return _image_rows(store.images, slice(None))
    ids = store.images.labels("image")
    return _image_rows(store.images, np.array([i for i, image in enumerate(ids) if image in named], dtype=int))


def _image_rows(images: Group, positions: slice | np.ndarray) -> pd.DataFrame:
    names = [name for name in images.schema if images.has(name)]
    return pd.DataFrame({name: images.read(name, image=positions).tolist() for name in names})


def target_table(store: Store) -> pd.DataFrame:
    """Return the targets of a store, numbered from 0; of a million other images no more than the role is read.

    Returns
    -------
    DataFrame
        Columns as those of `image_table`.

    Raises
    ------
    InputError
        If the store has no images yet.
    """
    return _image_rows(store.images, target_positions(store))


def target_positions(store: Store) -> np.ndarray:
    """Positions of the targets among the images of a store.

    Raises
    ------
    InputError
        If the store has no images yet.
    """
    if not store.images.has("role"):
        raise InputError(f"{store} holds no images yet: run `distspc extract` first")
    return np.flatnonzero(store.images.read("role") == "target")


def target_columns(store: Store) -> pd.DataFrame:
    """Return what the image table of a store says of its targets, by their ids: also columns that a user brought."""
    images = store.images
    there = images.read("role") == "target"
    names = [name for name in images.variables if name not in ("image", "role")]
    columns = {name: images.read(name)[there].tolist() for name in names}
    return pd.DataFrame(columns, index=pd.Index(images.read("image")[there].tolist(), name="image"))


def read_scores_of(store: Store) -> pd.DataFrame:
    """Return the scores kept in a store: a row per target, a column per score; no columns before `relate`."""
    if not store.scores.exists():
        return pd.DataFrame(index=pd.Index(target_table(store)["image"]))
    return _frame(store.scores.load("value")["value"], "target", "score")


def _frame(values: xr.DataArray, rows: str, columns: str) -> pd.DataFrame:
    """A variable of two dimensions as a table with plain labels."""
    labels = (values.indexes[dim].rename(None) for dim in (rows, columns))
    return pd.DataFrame(values.transpose(rows, columns).to_numpy(), *labels)


@dataclass(frozen=True)
class _Targets:
    """The targets: their table, their positions among the images, and the ids of all of these."""

    table: pd.DataFrame
    positions: np.ndarray
    image_ids: np.ndarray

    @classmethod
    def of(cls, store: Store) -> _Targets:
        return cls(target_table(store), target_positions(store), store.images.read("image"))

    def series(self, values: np.ndarray) -> pd.Series:
        """Values of the targets, of those of all images."""
        return pd.Series(values[self.positions], index=self.table["image"])


def _distances(store: Store, layer: str, targets: _Targets) -> dict[str, pd.Series]:
    """Columns of one layer from group `distances`, by target."""
    group = store.distances
    if not group.exists() or layer not in group.labels("layer"):
        return {}
    if not _is_written(group, layer):
        ids = targets.table["image"]
        return {"neighbour": pd.Series("", ids, dtype="str"), "distinctiveness": pd.Series(np.nan, ids)}
    several = ("mean_distance",) if group.sizes.get("neighbour", 1) > 1 else ()
    others = [name for name in (*several, "pool_distance") if group.has(name)]
    found = group.load("distance", "neighbour_index", *others, layer=layer)
    nearest = found.isel(neighbour=0)
    index = nearest["neighbour_index"].to_numpy()
    names = [name if i >= 0 else "" for i, name in zip(index, targets.image_ids[index].tolist(), strict=True)]
    columns = {
        "neighbour": pd.Series(names, index=nearest.indexes["target"], dtype="str"),
        "distinctiveness": nearest["distance"].to_series(),
    }
    columns |= {name: found[name].to_series() for name in others}
    if group.has("norm"):
        columns["norm"] = targets.series(group.read("norm", layer=group.position("layer", layer)))
    return columns


def _is_written(distances: Group, layer: str) -> bool:
    """Whether both a layer's distances and its neighbours are there: a run may be between them."""
    at = distances.position("layer", layer)
    return all(bool(distances.done(name)[at].all()) for name in ("distance", "neighbour_index"))


def reconstruction_errors(store: Store, layer: str, seeds: Sequence[int] | None = None) -> pd.DataFrame:
    """Reconstruction error of every image (rows) and seed (columns; some or all) at a layer; NaN if not done yet."""
    errors, known = _seed_errors(store, layer, seeds)
    return pd.DataFrame(errors, store.reconstruction.labels("image"), known) if known else pd.DataFrame()


def target_errors(
    store: Store, layer: str, seeds: Sequence[int] | None = None, *, measure: str = "reconstruction_error"
) -> pd.DataFrame:
    """Reconstruction error, or another measure by seed, of every target (rows) at a layer, by seed that is done."""
    if measure == "reconstruction_error":
        errors, known = _seed_errors(store, layer, seeds)
    else:
        errors, known = _further_by_seed(store, measure, layer)
    if not known:
        return pd.DataFrame()
    of_targets = pd.DataFrame(errors[target_positions(store)], target_table(store)["image"].tolist(), known)
    return of_targets.dropna(axis=1, how="all")


def _seed_errors(store: Store, layer: str, seeds: Sequence[int] | None) -> tuple[np.ndarray, list[int]]:
    """Reconstruction errors (image, seed) at a layer, NaN where not done yet, and the seeds; empty where none are."""
    group = store.reconstruction
    if not group.exists() or layer not in group.labels("layer"):
        return np.empty((0, 0)), []
    errors, known = group.read("error", layer=group.position("layer", layer)), group.labels("seed")
    wanted = [i for i, seed in enumerate(known) if seeds is None or seed in seeds]
    return errors[wanted].T, [known[i] for i in wanted]


def _reconstruction(store: Store, layer: str, seeds: Sequence[int] | None, targets: _Targets) -> dict[str, pd.Series]:
    """Columns of one layer from group `reconstruction`, by target."""
    errors, known = _seed_errors(store, layer, seeds)
    return _over_seeds("reconstruction_error", errors, known, targets) if known else {}


def _over_seeds(name: str, values: np.ndarray, seeds: Sequence[int], targets: _Targets) -> dict[str, pd.Series]:
    """Mean of a measure (image, seed) over seeds, and how far they agree where there are several, by target."""
    of_targets = pd.DataFrame(values[targets.positions], targets.table["image"], list(seeds))
    columns = {name: of_targets.mean(axis=1)}
    done = ~np.isnan(values).all(axis=0)
    if done.sum() > 1 and len(values) > 1:
        columns[f"{name}_sd"] = of_targets.loc[:, done].std(axis=1, ddof=1)
        reliability = seed_reliability(values[:, done].T)
        columns[f"{name}_icc"] = pd.Series(reliability.icc, of_targets.index)
        columns[f"{name}_reliability"] = pd.Series(reliability.mean_icc, of_targets.index)
    return columns


def _further(store: Store, layer: str, words: Sequence[str], targets: _Targets) -> dict[str, pd.Series]:
    """Columns of further measures at a layer, by target; for no layer, of those of the images themselves."""
    columns: dict[str, pd.Series] = {}
    for word in words:
        group, measure = store.measure(word), MEASURES[word]
        if (measure.needs == "activations") == bool(layer) and (not layer or layer in _layers_of(group)):
            at = {"layer": group.position("layer", layer)} if layer else {}
            columns |= _columns_of(group, measure.columns, at, targets)
    return columns


def _layers_of(group: Group) -> list[str]:
    return group.labels("layer") if group.exists() else []


def _further_by_seed(store: Store, column: str, layer: str) -> tuple[np.ndarray, list[int]]:
    """A column (image, seed) of a further measure at a layer, and its seeds; empty where it is not there."""
    word = next(word for word, one in MEASURES.items() if column in [own.name for own in one.columns])
    group = store.measure(word)
    if layer not in _layers_of(group):
        return np.empty((0, 0)), []
    return group.read(column, layer=group.position("layer", layer)).T, group.labels("seed")


def _columns_of(group: Group, columns: Sequence[Column], at: dict[str, int], targets: _Targets) -> dict[str, pd.Series]:
    """Those of some columns of a group that are there, by target."""
    found: dict[str, pd.Series] = {}
    for one in columns:
        if group.exists() and group.has(one.name):
            values = group.read(one.name, out=None, **at)
            by_seed = one.by_seed and _over_seeds(one.name, values.T, group.labels("seed"), targets)
            found |= by_seed or {one.name: targets.series(values)}
    return found


def _empty_columns(store: Store, layer: str) -> dict[str, Any]:
    """Columns of what could not be computed at a layer."""
    distances: dict[str, Any] = {"neighbour": "", "distinctiveness": np.nan}
    errors: dict[str, Any] = {"reconstruction_error": np.nan}
    of_stage = {"extract": distances | errors, "distances": distances, "reconstruct": errors}
    failed = [of_stage.get(one.stage, {}) for one in stored_failures(store) if one.layer == layer and layer]
    return {name: value for columns in failed for name, value in columns.items()}


def measured_layers(store: Store) -> list[str]:
    """Layers that have a measure, or could not be measured, from the image upward."""
    found = [failure.layer for failure in stored_failures(store) if failure.layer]
    further = [store.measure(word) for word, one in MEASURES.items() if one.needs == "activations"]
    for group in (store.distances, store.reconstruction, *further):
        found += _layers_of(group)
    return layer_order(found)


def tidy_table(
    store: StorePath,
    *,
    layers: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    measures: Sequence[str] | None = None,
    with_scores: bool = True,
) -> pd.DataFrame:
    """Return all measures of a study, one row per target and layer.

    Parameters
    ----------
    store
        Path of the store.
    layers, seeds, measures
        Those to take of what the store holds, further measures by their words in the study file; all by default.
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
    return with_models(labelled_table(store, layers=layers, seeds=seeds, measures=measures, with_scores=with_scores))


def labelled_table(
    store: StorePath,
    *,
    layers: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    measures: Sequence[str] | None = None,
    with_scores: bool = True,
) -> pd.DataFrame:
    """Return what `tidy_table` returns, but for layers of several networks: these go by their labels, in one column.

    Parameters
    ----------
    store, layers, seeds, measures, with_scores
        As `tidy_table`.

    Raises
    ------
    InputError
        As `tidy_table`.
    """
    store = Store(store)
    return read_whole(store, lambda: _labelled_table(store, layers, seeds, measures, with_scores))


def _labelled_table(
    store: Store,
    layers: Sequence[str] | None,
    seeds: Sequence[int] | None,
    measures: Sequence[str] | None,
    with_scores: bool,
) -> pd.DataFrame:
    targets, parts = _Targets.of(store), []
    words = [word for word in MEASURES if measures is None or word in measures]
    of_images = _further(store, "", words, targets)
    known = [name for name in measured_layers(store) if layers is None or name in layers]
    for layer in known or ([""] if of_images else []):
        columns = {**_distances(store, layer, targets), **_reconstruction(store, layer, seeds, targets)}
        columns |= {**(_further(store, layer, words, targets) if layer else {}), **of_images}
        part = targets.table[["image", "file"]].assign(layer=layer, **_empty_columns(store, layer))
        for name, values in columns.items():
            part[name] = values.reindex(targets.table["image"]).to_numpy()
        parts.append(part)
    if not parts:
        return targets.table[["image", "file"]].assign(layer="").iloc[:0]
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
