"""A fitted model as the store keeps it: what gives images that were not there the error they would have had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from distspc.kernels.sparse_coding.iteration import PAPER
from distspc.reconstruction.fit import sampled_units
from distspc.reconstruction.gather import gather_units
from distspc.reconstruction.models import FittedModel, error_of, offset_of
from distspc.reconstruction.options import ReconstructionOptions
from distspc.store.scaling import stored_moments
from distspc.store.store import Store
from distspc.tasks import ranges


@dataclass(frozen=True)
class FrozenModel:
    """One layer and seed of the reconstruction.

    Attributes
    ----------
    units
        Positions (units,) of the sampled features.
    scale
        What they are divided by.
    fitted
        The model of the scaled units.
    """

    units: np.ndarray
    scale: np.float32
    fitted: FittedModel


def offset_is_stored(store: Store, layer: str, seed: int) -> bool:
    """Whether the store says what was taken off the units before they were encoded; older ones do not."""
    group = store.reconstruction
    if not group.has("unit_mean"):
        return False
    return bool(np.isfinite(group.load("unit_mean", layer=layer, seed=seed)["unit_mean"]).all())


def read_model(store: Store, layer: str, seed: int, *, offset: np.ndarray | None = None) -> FrozenModel:
    """Read what a layer and seed were fitted to.

    Parameters
    ----------
    store, layer, seed
        Where it is; complete.
    offset
        What is taken off the scaled units (units,), where the store does not say (`recomputed_offsets`).
    """
    group = store.reconstruction
    names = [name for name in ("unit_mean", "encode_step") if group.has(name)]
    found = group.load("sampled_unit", "scale", "dictionary", "encode_steps", *names, layer=layer, seed=seed)
    step = float(found["encode_step"]) if "encode_step" in names else np.nan
    fitted = FittedModel(
        dictionary=found["dictionary"].to_numpy(),
        unit_mean=found["unit_mean"].to_numpy() if offset is None else offset,
        n_steps=int(found["encode_steps"]),
        step=step if np.isfinite(step) else PAPER.step,
    )
    return FrozenModel(found["sampled_unit"].to_numpy(), np.float32(found["scale"]), fitted)


def new_errors(
    rows: np.ndarray, model: FrozenModel, store: Store, layer: str, options: ReconstructionOptions
) -> np.ndarray:
    """Reconstruction error of images that were not there when a model was fitted; each on its own.

    Parameters
    ----------
    rows
        Activations (images, features), float32, as the store has them: not standardised.
    model
        The layer's, of one seed.
    store, layer
        Where the moments are, if features are scaled.
    options
        Settings of the study.

    Returns
    -------
    ndarray (images,), float64
    """
    x = rows[:, model.units]
    moments = stored_moments(store, layer, options.scaling, model.units)
    if moments is not None:
        moments.standardise(x)
    return error_of(x / model.scale, model.fitted, options)


def recomputed_offsets(
    store: Store, layer: str, seeds: Sequence[int], options: ReconstructionOptions, first_row: int
) -> dict[int, np.ndarray]:
    """What was taken off the units of each seed, from the activations: for stores from before it was kept.

    Every chunk of the layer is read once; the units of all seeds are kept in a temporary folder meanwhile.
    """
    group = store.layer(layer)
    rows = group.chunks("activation")["image"] * 16
    with TemporaryDirectory(prefix="distspc-units-") as folder:
        gathered = [
            gather_units(store, folder, layer, start=start, stop=stop, seeds=seeds, n_units=options.n_units,
                         scaling=options.scaling)
            for start, stop in ranges(group.sizes["image"], rows)
        ]  # fmt: skip
        found = {}
        for seed in seeds:
            units = sampled_units(store, layer, seed, seeds, options, gathered, Path(folder))
            found[seed] = offset_of(units.x, options, first_row)
            del units
    return found
