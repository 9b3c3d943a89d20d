"""One layer and seed: trained, encoded, stored."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from distspc.errors import InputError
from distspc.kernels.sparse_coding import scaling
from distspc.kernels.sparse_coding import training as kernel
from distspc.kernels.sparse_coding.inner_loop import DivergedError, Stop
from distspc.kernels.sparse_coding.principal_components import row_parts
from distspc.messages import counted
from distspc.reconstruction.gather import remove_folder, union_of_units
from distspc.reconstruction.models import fit_model
from distspc.reconstruction.options import ReconstructionOptions
from distspc.results.training import Iterations
from distspc.store.store import Store
from distspc.tasks import free_spare_memory

logger = logging.getLogger(__name__)

SAID_EVERY = 100
"""Batches of which the log says together how many iterations they took."""


def missing_seeds(store: Store, layer: str, seeds: Iterable[int]) -> list[int]:
    """Those of some seeds whose results are not there; writes nothing."""
    group = store.reconstruction
    layers, known = group.intact_labels("layer"), group.intact_labels("seed")
    if not group.exists() or layer not in layers:
        return list(seeds)
    done = group.complete("layer", "seed")[layers.index(layer)]
    return [seed for seed in seeds if seed not in known or not done[known.index(seed)]]


def fit_seed(
    store: Store,
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
    free_spare_memory()  # of distances: its tasks plan with as much
    s = ReconstructionOptions(**settings)
    if missing_seeds(store, layer, [seed]):
        try:
            with ExitStack() as stack:
                held = s.held(_shape_of(gathered)[0], memory_nbytes)
                spilled = _spill_folder(folder, stack) if held.on_disk else None
                values = _fit(store, layer, seed, seeds, s, first_row, gathered, spilled, keep=held.keep)
        except (ValueError, FloatingPointError) as problem:
            way_out = _way_out(problem)
            raise InputError(f"reconstruction of layer {layer}, seed {seed}: {problem}{way_out}") from problem
        _write(store, layer, seed, values)
    if not missing_seeds(store, layer, seeds):
        remove_folder(Path(folder))
    group = store.reconstruction
    # Not by `load`: a worker would wait for xarray.
    converged = group.read("converged", layer=group.position("layer", layer), seed=group.position("seed", seed))
    n_failed = int(converged.size - converged.sum())
    if n_failed:
        logger.warning("%s, seed %d: %s did not converge", layer, seed, counted(n_failed, "batch", of=converged.size))
    return {"layer": layer, "seed": seed, "n_not_converged": n_failed}


class _Progress:
    """Logs how many iterations batches take, and so how long is left: where the step is nearly unstable, hundreds."""

    def __init__(self, name: str, n_batches: int) -> None:
        self.name, self.n_batches, self.n_steps = name, n_batches, np.zeros(n_batches, np.int64)

    def __call__(self, i: int, stop: Stop) -> None:
        """Take in a batch."""
        self.n_steps[i] = stop.n_steps
        if (i + 1) % SAID_EVERY == 0 or i + 1 == self.n_batches:
            last = self.n_steps[i // SAID_EVERY * SAID_EVERY : i + 1]
            words = "%s: batch %d of %d, %.1f iterations a batch of the last %d (most: %d)"
            logger.info(words, self.name, i + 1, self.n_batches, last.mean(), len(last), last.max())
        if i + 1 == self.n_batches:
            logger.info("%s: trained in %d batches; %s", self.name, self.n_batches, Iterations.of(self.n_steps))


def _way_out(problem: Exception) -> str:
    if isinstance(problem, DivergedError) and problem.step_too_long:
        return "; set `step: stable` in `reconstruction`, which shortens the step where it has to"
    if isinstance(problem, scaling.NotFiniteError):
        return "; extract them again or leave the layer out"
    if isinstance(problem, scaling.ZeroQuantileError):
        return "; leave the layer out or sample more units of a layer that is less sparse"
    return ""


def _write(store: Store, layer: str, seed: int, values: dict[str, Any]) -> None:
    group = store.reconstruction
    at = {"layer": group.position("layer", layer), "seed": group.position("seed", seed)}
    for name in sorted(values, key=lambda name: name == "error"):
        group.write(name, values[name], **at)


def _spill_folder(folder: str, stack: ExitStack) -> Path:
    """Folder for arrays that grow with the number of images, where they do not fit in memory; removed at the end."""
    return Path(stack.enter_context(TemporaryDirectory(dir=Path(folder).parent, prefix="spilled-")))


def _shape_of(gathered: Sequence[str]) -> tuple[int, int]:
    shapes = [np.load(path, mmap_mode="r").shape for path in gathered]
    return sum(shape[0] for shape in shapes), shapes[0][1]


def _array(shape: tuple[int, ...], dtype: str, folder: Path | None) -> np.ndarray:
    if folder is None:
        return np.zeros(shape, dtype)
    return np.lib.format.open_memmap(folder / f"{uuid.uuid4().hex}.npy", mode="w+", dtype=np.dtype(dtype), shape=shape)


@dataclass(frozen=True)
class SampledUnits:
    """What a seed samples of a layer.

    Attributes
    ----------
    rng
        Its generator, which has drawn the units and draws the rest.
    units
        Positions (units,) of the features.
    x
        Their activations (images, units), float32, divided by the scale.
    scale
        95th percentile of their absolute values.
    """

    rng: np.random.RandomState
    units: np.ndarray
    x: np.ndarray
    scale: np.float32


def sampled_units(
    store: Store,
    layer: str,
    seed: int,
    seeds: Sequence[int],
    s: ReconstructionOptions,
    gathered: Sequence[str],
    spilled: Path | None,
) -> SampledUnits:
    """Put the units of one seed together from those gathered for all seeds, and scale them."""
    rng = np.random.RandomState(seed)
    n_features = store.layer(layer).sizes["feature"]
    units = kernel.draw_units(rng, n_features, s.n_units)
    columns = np.searchsorted(union_of_units(seeds, n_features, s.n_units), units)
    x = _array((_shape_of(gathered)[0], s.n_units), "float32", spilled)
    start = 0
    for path in gathered:
        part = np.load(path)[:, columns]
        x[start : start + len(part)] = part
        start += len(part)
    scale = scaling.scale_quantile(x)
    for rows in row_parts(len(x), s.n_units):
        x[rows] /= scale
    return SampledUnits(rng, units, x, scale)


def _fit(
    store: Store,
    layer: str,
    seed: int,
    seeds: Sequence[int],
    s: ReconstructionOptions,
    first_row: int,
    gathered: Sequence[str],
    spilled: Path | None,
    *,
    keep: bool,
) -> dict[str, Any]:
    sampled = sampled_units(store, layer, seed, seeds, s, gathered, spilled)
    values = fit_model(
        sampled.x,
        s,
        sampled.rng,
        first_row=first_row,
        keep=keep,
        allocate=lambda shape, dtype: _array(shape, dtype, spilled),
        each_batch=_Progress(f"{layer}, seed {seed}", s.n_batches),
    )
    return {"sampled_unit": sampled.units, "scale": float(sampled.scale), **values}
