"""Results as files: the authors' layout, so that their notebook runs on it unchanged, and a tidy table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distspc.errors import InputError
from distspc.layers import folder_name, split_layer
from distspc.results.netcdf import to_netcdf
from distspc.results.tidy import tidy_table
from distspc.store.format.schema import StorePath
from distspc.store.store import Store


def export_results(
    store: StorePath,
    directory: str | Path,
    *,
    seed: int | None = None,
    netcdf: bool = False,
    layers: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    measures: Sequence[str] | None = None,
    with_scores: bool = True,
) -> list[Path]:
    """Write what the store holds as files.

    ``Results/Dist/<layer>_NN.csv``: lines ``target, neighbour, distance`` without a header, a filler written
    ``<number>_filler``. ``Results/RE/<layer>/spc_rec_quality.npy``: float64 (n_targets, 1) of one seed.
    ``results.csv``: one row per target and layer. Of several networks, each has a folder of its name with such
    ``Results``, and ``results.csv`` a column ``model`` beside ``layer``.

    Parameters
    ----------
    store
        Path of the store.
    directory
        Folder to write into; made if missing. Files of the same names are replaced.
    seed
        Which seed's reconstruction error; the first by default.
    netcdf
        Also write everything but the activations as ``results.nc``.
    layers, seeds, measures
        Those to write of what the store holds, further measures by their words in the study file; all by default.
    with_scores
        Whether the scores are in ``results.csv``.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        If the store has no measures, or no such seed.
    """
    store = Store(store)
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file; name a folder to export into")
    first = seed if seed is not None or not seeds else seeds[0]
    written = [*_export_distances(store, directory, layers), *_export_errors(store, directory, first, layers)]
    table = tidy_table(store, layers=layers, seeds=seeds, measures=measures, with_scores=with_scores)
    if table.empty:
        raise InputError(f"{store} holds neither distances nor reconstruction errors yet: run the study first")
    directory.mkdir(parents=True, exist_ok=True)
    table.to_csv(directory / "results.csv", index=False)
    written.append(directory / "results.csv")
    return [*written, to_netcdf(store, directory / "results.nc")] if netcdf else written


def _names(store: Store) -> list[str]:
    numbers = store.images.read("number").tolist()
    roles = store.images.read("role").tolist()
    return [f"{n}_filler" if role == "filler" else str(n) for n, role in zip(numbers, roles, strict=True)]


def _export_distances(store: Store, directory: Path, layers: Sequence[str] | None) -> list[Path]:
    group = store.distances
    if not group.exists():
        return []
    names, written = _names(store), []
    for layer, done in zip(group.labels("layer"), group.done("distance"), strict=True):
        if not done.all() or (layers is not None and layer not in layers):
            continue
        first = group.load("distance", "neighbour_index", layer=layer).isel(neighbour=0)
        pairs = zip(first["neighbour_index"].values.tolist(), first["distance"].values.tolist(), strict=True)
        lines = [f"{names[t]}, {names[n] if n >= 0 else ''}, {float(d)!r}" for t, (n, d) in enumerate(pairs)]
        own, model = split_layer(layer)
        path = directory / model / "Results" / "Dist" / f"{folder_name(own)}_NN.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.append(path)
    return written


def _export_errors(store: Store, directory: Path, seed: int | None, layers: Sequence[str] | None) -> list[Path]:
    group = store.reconstruction
    if not group.exists():
        return []
    seed = group.labels("seed")[0] if seed is None else seed
    targets = np.flatnonzero(store.images.read("role") == "target")
    done, written = group.done("error")[:, group.position("seed", seed)], []
    for layer, there in zip(group.labels("layer"), done, strict=True):
        if not there.all() or (layers is not None and layer not in layers):
            continue
        error = group.load("error", layer=layer, seed=seed)["error"].to_numpy()
        own, model = split_layer(layer)
        path = directory / model / "Results" / "RE" / folder_name(own) / "spc_rec_quality.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, error[targets][:, None])
        written.append(path)
    return written
