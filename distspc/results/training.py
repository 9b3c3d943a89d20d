"""How the sparse codes were trained, and how far their seeds agree."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from distspc.store.group import Group
from distspc.store.store import Store


@dataclass(frozen=True)
class Iterations:
    """How many iterations batches took, over all batches that are counted."""

    mean: float
    median: float
    most: int

    @classmethod
    def of(cls, n_steps: np.ndarray) -> Self:
        """Of the iterations of every batch, an array of any shape."""
        return cls(float(n_steps.mean()), float(np.median(n_steps)), int(n_steps.max()))

    def __str__(self) -> str:
        return f"iterations a batch: median {self.median:.0f}, most {self.most}"


def iterations(store: Store, layers: Sequence[str], seeds: Sequence[int]) -> dict[str, Iterations]:
    """By layer, iterations of the batches of those of some seeds that are done; layers without any are left out."""
    group = store.reconstruction
    if not (group.exists() and group.has("n_steps")):
        return {}
    done, known = group.complete("layer", "seed"), group.labels("seed")
    rows = [known.index(seed) for seed in seeds if seed in known[: done.shape[1]]]
    found = {}
    for layer in _layers_of(group, layers):
        at = group.position("layer", layer)
        finished = [row for row in rows if at < len(done) and done[at, row]]
        n_steps = group.read("n_steps", layer=at)[finished]
        if n_steps.any():  # not every solver trains in batches
            found[layer] = Iterations.of(n_steps)
    return found


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
