"""Units of a layer, gathered once for all seeds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distspc.io.files import hex_digest, written_whole
from distspc.kernels.sparse_coding import training as kernel
from distspc.layers import folder_name
from distspc.reconstruction.options import ReconstructionOptions
from distspc.store.scaling import Scaling, stored_moments
from distspc.store.store import Store
from distspc.tasks import free_spare_memory, ranges, task, task_key

if TYPE_CHECKING:
    from dask.delayed import Delayed


GATHER_NBYTES = 2**31
"""Bytes of activations that one gathering task reads: seconds of work."""


def units_folder(store: Store, layer: str, seeds: Sequence[int], settings: ReconstructionOptions) -> Path:
    """Folder of the gathered units, named by what they depend on."""
    group = store.layer(layer)
    content = [list(seeds), settings.n_units, settings.scaling, group.attributes.get("recipe"), group.labels("image")]
    token = hex_digest(json.dumps(content, sort_keys=True, default=str).encode())[:8]
    return Path(f"{store}.units") / f"{folder_name(layer)}-{token}"


def remove_units(store: Store, layer: str, *, but: Path | None = None) -> None:
    """Remove the gathered units of a layer, which a seed that cannot be fitted leaves behind; all `but` a folder."""
    for folder in list(Path(f"{store}.units").glob(f"{folder_name(layer)}-*")):
        if folder != but:
            remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove the folder of one layer's units, and the folder of all where it is empty then."""
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


def gather_range(
    message: dict[str, Any], token: str, seeds: Sequence[int], settings: ReconstructionOptions, sizes: dict[str, int]
) -> list[Delayed]:
    """Tasks that gather units not gathered yet."""
    chunk = message["store"].layer(message["layer"]).chunks("activation")["image"]
    rows = gather_rows(sizes["image"], chunk, sizes["feature"])
    return [
        task(gather_units)(
            **message,
            start=start,
            stop=stop,
            seeds=seeds,
            n_units=settings.n_units,
            scaling=settings.scaling,
            dask_key_name=task_key("units", message["layer"], token, start),
        )
        for start, stop in ranges(sizes["image"], rows)
    ]


# ---------------------------------------------------------------- tasks


def _units(seed: int, n_features: int, n_units: int) -> np.ndarray:
    return kernel.draw_units(np.random.RandomState(seed), n_features, n_units)


def union_of_units(seeds: Sequence[int], n_features: int, n_units: int) -> np.ndarray:
    """Units that any of the seeds samples, in order."""
    return np.unique(np.concatenate([_units(seed, n_features, n_units) for seed in seeds]))


def gather_units(
    store: Store,
    folder: str,
    layer: str,
    *,
    start: int,
    stop: int,
    seeds: Sequence[int],
    n_units: int,
    scaling: Scaling = "none",
) -> str:
    """Read images `start` to `stop` of a layer and keep the units that any of `seeds` samples, scaled, as one file."""
    free_spare_memory()  # of distances: its tasks plan with as much
    path = Path(folder) / f"{start:09d}-{stop:09d}.npy"
    if path.exists():
        return str(path)
    group = store.layer(layer)
    units = union_of_units(seeds, group.sizes["feature"], n_units)
    chunk = group.chunks("activation")["image"]
    values = np.empty((stop - start, len(units)), np.float32)
    for a, b in ranges(stop - start, chunk):
        rows = slice(start + a, start + b)
        values[a:b] = group.read("activation", image=rows, feature=units)
    moments = stored_moments(store, layer, scaling, units)
    if moments is not None:
        moments.standardise(values)
    with written_whole(path) as beside, beside.open("wb") as file:
        np.save(file, values)
    return str(path)
