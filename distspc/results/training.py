"""How the sparse codes were trained, and how far their seeds agree."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from distspc.store.group import Group
from distspc.store.store import Store


def _layers_of(group: Group, layers: Sequence[str]) -> list[str]:
    known = group.labels("layer") if group.exists() else []
    return [layer for layer in layers if layer in known]


def training(store: Store, layers: Sequence[str]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Training error and convergence of every batch by layer, arrays (seeds, batches); seeds not done are left out."""
    curves, converged = {}, {}
    group = store.reconstruction
    if not all(group.has(name) for name in ("training_error", "converged")):
        return {}, {}  # not every solver trains in batches
    for layer in _layers_of(group, layers):
        found = group.load("training_error", "converged", layer=layer)
        done = found.isel(seed=np.isfinite(found["training_error"].to_numpy()).any(axis=1))
        if done.sizes["seed"]:
            curves[layer], converged[layer] = done["training_error"].to_numpy(), done["converged"].to_numpy()
    return curves, converged


def shortened(store: Store, layers: Sequence[str]) -> dict[str, tuple[int, int, float]]:
    """By layer, over the seeds done: batches whose step was shortened, all batches, and the shortest step."""
    group = store.reconstruction
    if not all(group.has(name) for name in ("n_shortened", "smallest_step", "n_steps")):
        return {}  # a store from before steps were shortened
    found = {}
    for layer in _layers_of(group, layers):
        rows = group.load("n_shortened", "smallest_step", layer=layer)
        known = rows.sel(seed=rows["n_shortened"] >= 0)
        if np.isfinite(known["smallest_step"].to_numpy()).any():
            n_batches = known.sizes["seed"] * group.sizes["batch"]
            found[layer] = int(known["n_shortened"].sum()), n_batches, float(known["smallest_step"].min())
    return found


def seed_pairs(
    store: Store, layers: Sequence[str], seeds: Sequence[int] | None = None
) -> tuple[dict[str, list[float]], int]:
    """Correlations of the reconstruction errors of targets between every two seeds, by layer; number of seeds."""
    from distspc.results.tidy import target_errors

    pairs, most = {}, 0
    for layer in _layers_of(store.reconstruction, layers):
        errors = target_errors(store, layer, seeds)
        n, most = errors.shape[1], max(most, errors.shape[1])
        if n > 1 and (errors.std() > 0).all():
            table = errors.corr().to_numpy()
            pairs[layer] = [float(table[i, j]) for i, j in itertools.combinations(range(n), 2)]
    return pairs, most


def is_scaled(measures: Group) -> bool:
    """Whether measures are of standardised features."""
    return measures.exists() and measures.attributes.get("recipe", {}).get("scaling", "none") != "none"
