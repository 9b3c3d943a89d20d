"""How features are scaled before a measure is taken: not at all, or standardised by the moments in the store."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from distspc.errors import InputError
from distspc.kernels.standardisation import Moments
from distspc.store.group import different_settings
from distspc.store.store import Store

Scaling = Literal["none", "z-score"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)


def moments_recipe(store: Store, layer: str) -> dict[str, Any]:
    """What a layer's moments are of: its activations, as they were made."""
    return {"activations": store.layer(layer).attributes.get("recipe", {})}


def has_moments(store: Store, layer: str) -> bool:
    """Whether a layer's moments are there, of its activations as they are."""
    group = store.scaling(layer)
    if not group.exists() or "n_constant" not in group.attributes:  # the last that is written
        return False
    if different_settings(group.attributes.get("recipe", {}), moments_recipe(store, layer), group.name):
        return False
    return all(group.has(name) and bool(group.done(name).all()) for name in ("mean", "sd"))


def require_scaling(store: Store, layer: str, scaling: str) -> None:
    """Refuse a scaling that does not exist, or whose moments are not in the store.

    Raises
    ------
    InputError
        Names the scaling or the layer.
    """
    if scaling not in SCALINGS:
        raise InputError(f"scaling is {scaling!r}; it must be one of {', '.join(SCALINGS)}")
    if scaling != "none" and not has_moments(store, layer):
        raise InputError(
            f"{layer}: its features' means and standard deviations, for `scaling: {scaling}`, are not in {store} yet; "
            "run the stage extract first"
        )


def stored_moments(store: Store, layer: str, scaling: Scaling, features: slice | np.ndarray) -> Moments | None:
    """Return the moments that some features of a layer are standardised by; None where they stay as they are."""
    if scaling == "none":
        return None
    group = store.scaling(layer)
    return Moments(group.read("mean", feature=features), group.read("sd", feature=features))
