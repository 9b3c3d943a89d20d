"""The reconstruction stage: sampled units of a layer, then one dictionary and one error per image for every seed.

Two kinds of tasks. `gather_units` reads some rows of chunks and keeps the columns that any of the seeds sampled: one
pass over the layer, whatever the number of seeds. `fit_seed` puts those together, trains, encodes all images and writes
its row of group `reconstruction`. Units pass between them as files beside the store, removed when all seeds are done.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from dask.delayed import Delayed

from distspc import schema
from distspc import store as zarr_store
from distspc.compute import task
from distspc.errors import InputError
from distspc.kernels import sparse_coding as kernel
from distspc.kernels.baselines import row_parts
from distspc.kernels.models import Settings, Solver, Step, TrainOn, fit_model
from distspc.kernels.reliability import Reliability, seed_reliability
from distspc.tiles import gib, ranges, task_key

__all__ = ["Reliability", "fit_seed", "fit_sparse_code", "gather_units", "seed_reliability"]

logger = logging.getLogger(__name__)

GROUP = "reconstruction"
GATHER_NBYTES = 2**31
"""Bytes of activations that one gathering task reads: seconds of work."""


# ---------------------------------------------------------------- build


def fit_sparse_code(
    store: str | Path,
    *,
    layer: str,
    seeds: Sequence[int],
    n_units: int = 1000,
    n_codewords: int = 500,
    n_batches: int = 1000,
    batch_size: int = 250,
    sparsity: float = 1e-3,
    train_on: TrainOn = "all",
    precision: kernel.Precision = "float64",
    solver: Solver = "paper",
    step: Step = "stable",
    memory_nbytes: int | None = None,
) -> list[Delayed]:
    """Build the missing work of one layer: one task per seed, on top of tasks that gather the sampled units.

    The method is that of Lin et al. (2024), doi 10.1038/s41562-024-01870-3. For each seed, ``RandomState(seed)`` draws
    the units (the same for all images), the first dictionary and the batches, in this order. The units are divided
    by the 95 % quantile of their absolute values over *all* images; a batch has its own scalar mean taken off; the
    errors come from one code of *all* images, minus one scalar mean over all of them, whatever they were trained on.

    Parameters
    ----------
    store
        Path of the store, with the activations of `layer`.
    layer
        Name of the layer.
    seeds
        Seeds, each 0 to 2**32 - 1.
    n_units, n_codewords, n_batches, batch_size, sparsity
        Size of the model and its training; the defaults are the paper's.
    train_on
        ``all`` draws the rows of batches from targets and fillers, ``fillers`` from fillers alone.
    precision
        Type of the arithmetic; the method's is float64.
    solver
        What encodes the images: ``paper`` the early-stopped model, ``converged`` the lasso code with the same
        dictionary, ``pca`` the residual of as many principal components of the training rows, no training.
    step
        ``stable`` takes the paper's step of 0.01 where the iteration converges with it, and a shorter one in batches
        whose dictionary is too large for it (`distspc.kernels.stability`); ``paper`` takes 0.01 always, and fails
        where that diverges.
    memory_nbytes
        Bytes that a task may plan with; above them units and codes go to disk. None: no limit known.

    Returns
    -------
    Tasks, one per missing seed; empty if all is done.

    Raises
    ------
    InputError
        If a setting cannot be used with this layer; names the layer.
    """
    settings = Settings(n_units, n_codewords, n_batches, batch_size, sparsity, train_on, precision, solver, step)
    source = f"activations/{layer}"
    sizes = zarr_store.sizes(store, source)
    images = zarr_store.labels(store, source, "image")
    first_row = _first_training_row(store, layer, settings)
    _check(settings, layer, seeds, sizes, first_row, memory_nbytes)
    _allocate(store, layer, seeds, images, settings)
    missing = missing_seeds(store, layer, seeds)
    if missing:
        _allocate(store, layer, seeds, images, settings, added=True)
    folder = _folder(store, layer, seeds if missing else [], settings)
    if not missing:
        return []
    message = {"store": str(store), "folder": str(folder), "layer": layer}
    token = folder.name.rsplit("-", 1)[1]
    gathered = _gather(message, token, list(seeds), n_units, sizes)
    return [
        task(fit_seed)(
            **message,
            seed=seed,
            seeds=list(seeds),
            settings=asdict(settings),
            first_row=first_row,
            memory_nbytes=memory_nbytes,
            gathered=gathered,
            dask_key_name=task_key("reconstruct", layer, token, seed),
        )
        for seed in missing
    ]


def _first_training_row(store: str | Path, layer: str, settings: Settings) -> int:
    if settings.train_on == "all":
        return 0
    roles = zarr_store.read(store, "images", "role").tolist()
    if "filler" not in roles:
        raise InputError(f"{layer}: `train-on: fillers`, but the study has no fillers; add them or train on `all`")
    return roles.index("filler")


def _check(
    settings: Settings, layer: str, seeds: Sequence[int], sizes: dict[str, int], first_row: int, memory: int | None
) -> None:
    s, n_rows, n_features = settings, sizes["image"] - first_row, sizes["feature"]
    # Batches are drawn with replacement: their size has no limit but memory, nor has the number of codewords.
    limits = [("units", s.n_units, n_features, f"{layer} has {n_features} features")]
    if s.solver == "pca":
        why = f"there are no more components of {n_rows} images of {layer} at {s.n_units} units"
        limits.append(("codewords", s.n_codewords, min(s.n_units, n_rows), why))
    for name, value, limit, why in limits:
        if not 1 <= value <= limit:
            raise InputError(f"reconstruction `{name}: {value}` must be between 1 and {limit}: {why}")
    for name, value in (("codewords", s.n_codewords), ("batch-size", s.batch_size), ("batches", s.n_batches)):
        if value < 1:
            raise InputError(f"reconstruction `{name}: {value}` must be at least 1")
    if not seeds or len(set(seeds)) != len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise InputError(f"`seeds` of {layer} must be different whole numbers from 0 to 2**32 - 1; got {list(seeds)}")
    if s.n_codewords > s.n_units:
        logger.warning("%s: more codewords (%d) than units (%d)", layer, s.n_codewords, s.n_units)
    needed = s.task_nbytes
    if memory is not None and needed > memory:
        raise InputError(
            f"{layer}: a batch of {s.batch_size} with {s.n_units} units and {s.n_codewords} codewords needs "
            f"{gib(needed)}, a task may use {gib(memory)}: lower `batch-size`, `codewords` or `units`, or give workers "
            "more memory"
        )


def _allocate(
    store: str | Path, layer: str, seeds: Sequence[int], images: list[str], settings: Settings, *, added: bool = False
) -> None:
    """Make room for a layer; for variables that older stores lack only if `added`: a finished one is left alone."""
    coords: dict[str, Any] = {
        "layer": [layer],
        "seed": list(seeds),
        "image": images,
        "unit": settings.n_units,
        "codeword": settings.n_codewords,
        "batch": settings.n_batches,
    }
    names = [name for name, row in schema.variables(GROUP).items() if name not in coords and (added or not row.added)]
    zarr_store.allocate(store, GROUP, coords=coords, chunks={}, recipe=asdict(settings), variables=names)


def missing_seeds(store: str | Path, layer: str, seeds: Iterable[int]) -> list[int]:
    """Those of some seeds whose results are not there."""
    done = zarr_store.complete(store, GROUP, "layer", "seed")[zarr_store.position(store, GROUP, "layer", layer)]
    return [seed for seed in seeds if not done[zarr_store.position(store, GROUP, "seed", seed)]]


def _folder(store: str | Path, layer: str, seeds: Sequence[int], settings: Settings) -> Path:
    """Folder of the gathered units, named by what they depend on; folders of other units of this layer are removed."""
    told = [list(seeds), settings.n_units, zarr_store.attributes(store, f"activations/{layer}").get("recipe")]
    told += [zarr_store.labels(store, f"activations/{layer}", "image")]
    token = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:8]
    parent = Path(f"{store}.units")
    folder = parent / f"{layer}-{token}"
    for other in parent.glob(f"{layer}-*"):
        if other != folder or not seeds:
            _remove(other)
    return folder


def remove_units(store: str | Path, layer: str) -> None:
    """Remove the gathered units of a layer, which a seed that cannot be fitted leaves behind."""
    for folder in list(Path(f"{store}.units").glob(f"{layer}-*")):
        _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # other layers still have theirs there
        folder.parent.rmdir()


def gather_rows(n_images: int, chunk_rows: int, n_features: int) -> int:
    """Images of which one task gathers the units: whole chunks, of about `GATHER_NBYTES`.

    >>> gather_rows(1_000_000, 64, 802_816), gather_rows(10_264, 64, 4096)
    (640, 1280)
    """
    rows = chunk_rows * max(1, GATHER_NBYTES // (4 * chunk_rows * n_features))
    return min(rows, max(chunk_rows, n_images // 8 // chunk_rows * chunk_rows))  # at least some tasks to share out


def _gather(
    message: dict[str, str], token: str, seeds: Sequence[int], n_units: int, sizes: dict[str, int]
) -> list[Delayed]:
    """Tasks that gather units not gathered yet."""
    chunk = zarr_store.chunks(message["store"], f"activations/{message['layer']}", "activation")["image"]
    rows = gather_rows(sizes["image"], chunk, sizes["feature"])
    return [
        task(gather_units)(
            **message,
            start=start,
            stop=stop,
            seeds=seeds,
            n_units=n_units,
            dask_key_name=task_key("units", message["layer"], token, start),
        )
        for start, stop in ranges(sizes["image"], rows)
    ]


# ---------------------------------------------------------------- tasks


def _units(seed: int, n_features: int, n_units: int) -> np.ndarray:
    return kernel.draw_units(np.random.RandomState(seed), n_features, n_units)


def _union(seeds: Sequence[int], n_features: int, n_units: int) -> np.ndarray:
    return np.unique(np.concatenate([_units(seed, n_features, n_units) for seed in seeds]))


def gather_units(
    store: str, folder: str, layer: str, *, start: int, stop: int, seeds: Sequence[int], n_units: int
) -> str:
    """Read images `start` to `stop` of a layer and keep the units that any of `seeds` samples, as one file."""
    path = Path(folder) / f"{start:09d}-{stop:09d}.npy"
    if path.exists():
        return str(path)
    group = f"activations/{layer}"
    units = _union(seeds, zarr_store.sizes(store, group)["feature"], n_units)
    chunk = zarr_store.chunks(store, group, "activation")["image"]
    values = np.empty((stop - start, len(units)), np.float32)
    for a, b in ranges(stop - start, chunk):
        rows = slice(start + a, start + b)
        values[a:b] = zarr_store.read(store, group, "activation", image=rows, feature=units)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    with partial.open("wb") as file:
        np.save(file, values)
    os.replace(partial, path)
    return str(path)


def fit_seed(
    store: str,
    folder: str,
    layer: str,
    *,
    seed: int,
    seeds: Sequence[int],
    settings: dict[str, Any],
    first_row: int,
    memory_nbytes: int | None,
    gathered: Sequence[str],
) -> dict[str, Any]:
    """Train one seed, encode all images and write the results; errors last: their presence says that all is there.

    Returns
    -------
    Layer, seed, and how many batches did not converge.

    Raises
    ------
    InputError
        If the sampled units cannot be used, or the code diverges; names layer and seed.
    """
    s = Settings(**settings)
    if missing_seeds(store, layer, [seed]):
        try:
            with ExitStack() as stack:
                spilled = _spill_folder(s, gathered, memory_nbytes, folder, stack)
                values = _fit(store, layer, seed, seeds, s, first_row, gathered, spilled)
        except (ValueError, FloatingPointError) as problem:
            way_out = _way_out(problem)
            raise InputError(f"reconstruction of layer {layer}, seed {seed}: {problem}{way_out}") from problem
        _write(store, layer, seed, values)
    if not missing_seeds(store, layer, seeds):
        _remove(Path(folder))
    row = zarr_store.position(store, GROUP, "layer", layer), zarr_store.position(store, GROUP, "seed", seed)
    converged = zarr_store.read(store, GROUP, "converged", layer=row[0], seed=row[1])
    n_failed = int(converged.size - converged.sum())
    if n_failed:
        logger.warning("%s, seed %d: %d of %d batches did not converge", layer, seed, n_failed, converged.size)
    return {"layer": layer, "seed": seed, "n_not_converged": n_failed}


def _way_out(problem: Exception) -> str:
    if isinstance(problem, kernel.DivergedError) and problem.step_too_long:
        return "; set `step: stable` in `reconstruction`, which shortens the step where it has to"
    return ""


def _write(store: str, layer: str, seed: int, values: dict[str, Any]) -> None:
    at = {
        "layer": zarr_store.position(store, GROUP, "layer", layer),
        "seed": zarr_store.position(store, GROUP, "seed", seed),
    }
    for name in sorted(values, key=lambda name: name == "error"):
        zarr_store.write(store, GROUP, name, values[name], **at)


def _spill_folder(
    s: Settings, gathered: Sequence[str], memory_nbytes: int | None, folder: str, stack: ExitStack
) -> Path | None:
    """Folder for arrays that grow with the number of images, where they do not fit in memory; removed at the end."""
    n_images = _shape_of(gathered)[0]
    needed = s.task_nbytes + n_images * (4 * s.n_units + 2 * 8 * s.n_codewords)
    if memory_nbytes is None or needed <= memory_nbytes:
        return None
    return Path(stack.enter_context(TemporaryDirectory(dir=Path(folder).parent, prefix="spilled-")))


def _shape_of(gathered: Sequence[str]) -> tuple[int, int]:
    shapes = [np.load(path, mmap_mode="r").shape for path in gathered]
    return sum(shape[0] for shape in shapes), shapes[0][1]


def _array(shape: tuple[int, ...], dtype: str, folder: Path | None) -> np.ndarray:
    if folder is None:
        return np.zeros(shape, dtype)
    return np.lib.format.open_memmap(folder / f"{uuid.uuid4().hex}.npy", mode="w+", dtype=np.dtype(dtype), shape=shape)


def _fit(
    store: str,
    layer: str,
    seed: int,
    seeds: Sequence[int],
    s: Settings,
    first_row: int,
    gathered: Sequence[str],
    spilled: Path | None,
) -> dict[str, Any]:
    rng = np.random.RandomState(seed)
    n_features = zarr_store.sizes(store, f"activations/{layer}")["feature"]
    units = kernel.draw_units(rng, n_features, s.n_units)
    columns = np.searchsorted(_union(seeds, n_features, s.n_units), units)
    x = _array((_shape_of(gathered)[0], s.n_units), "float32", spilled)
    start = 0
    for path in gathered:
        part = np.load(path)[:, columns]
        x[start : start + len(part)] = part
        start += len(part)
    scale = kernel.scale_quantile(x)
    for rows in row_parts(len(x), s.n_units):
        x[rows] /= scale
    values = fit_model(x, s, rng, first_row=first_row, allocate=lambda shape, dtype: _array(shape, dtype, spilled))
    return {"sampled_unit": units, "scale": float(scale), **values}
