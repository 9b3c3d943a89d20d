"""What runs a network: the engine of its kind, or for VGG-16 one that starts sooner and takes less memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Literal

from distspc.errors import InputError
from distspc.extraction.options import BUILTIN_WEIGHTS, TIMM, Engine, ExtractionOptions, is_weights_path

BackendName = Literal["keras", "onnx", "torch"]

ENGINE_NAMES: dict[str, str] = {"keras": "Keras", "onnx": "ONNX Runtime", "torch": "timm"}
"""What engines are called where people read it."""


def own_engine(architecture: str) -> BackendName:
    """Engine that a network has by its kind."""
    if architecture.startswith(TIMM):
        return "torch"
    return "onnx" if architecture == "onnx" else "keras"


def choose_engine(asked: Engine | None, architecture: str, precision: str) -> Literal["onnx"] | None:
    """Settle the engine of a network, where it is another than that of its kind.

    Parameters
    ----------
    asked
        As the study names it; None: that of the network's kind.
    architecture, precision
        Of the network (see `distspc.extraction.network_spec.NetworkSpec`).

    Returns
    -------
    str or None
        ``onnx`` for VGG-16 in ONNX Runtime; None: the network's own.

    Raises
    ------
    InputError
        If the engine cannot run the network; names both and the way out.
    """
    own = own_engine(architecture)
    if asked in (None, own):
        return None
    if asked == "auto":
        return "onnx" if architecture == "vgg16" and precision == "float32" and is_installed() else None
    if asked == "keras" or own == "torch":
        kind = "networks of timm run in timm" if own == "torch" else "an .onnx file runs in ONNX Runtime"
        raise InputError(f"engine {asked!r}: {kind}: leave `engine` out, or name `auto`")
    if architecture != "vgg16":
        named = "this model" if architecture == "file" else architecture
        raise InputError(
            f"engine 'onnx' runs VGG-16 ({', '.join(BUILTIN_WEIGHTS)}, or a .h5 file of its weights by layer name) and "
            f".onnx files, and {named} runs in Keras: leave `engine` out, name `auto`, or export the network to .onnx"
        )
    if precision != "float32":
        raise InputError(f"engine 'onnx' computes in float32: leave out precision {precision!r}, or `engine`")
    return "onnx"


def may_be_vgg16(weights: str) -> bool:
    """Whether weights may be of VGG-16, by what a study calls them."""
    if is_weights_path(weights):
        return not weights.lower().endswith(".onnx")
    return weights in BUILTIN_WEIGHTS or weights.lower().startswith("vgg16")


def is_installed() -> bool:
    """Whether ONNX Runtime is here, with the package that makes graphs for it."""
    return all(find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def refuse_absent() -> None:
    """Refuse to begin where ONNX Runtime is not here.

    Raises
    ------
    InputError
        Names the extra.
    """
    if not is_installed():
        raise InputError(
            "engine 'onnx' needs ONNX Runtime, which is not installed: pip install 'distspc[onnx]', or leave `engine` "
            "out and let Keras compute (a store that ONNX Runtime began goes on in it)"
        )


def engine_of(recipe: Mapping[str, Any]) -> str:
    """Engine that made activations, by their stored recipe; empty where they are of no network."""
    architecture = recipe.get("architecture", "imported")
    return "" if architecture == "imported" else str(recipe.get("engine", own_engine(architecture)))


def keep_engine(options: ExtractionOptions, recipes: Iterable[Mapping[str, Any]]) -> ExtractionOptions:
    """Settle an engine that is to be chosen, where activations of VGG-16 are stored: by what made these.

    Parameters
    ----------
    options
        Settings of a network.
    recipes
        Of stored activations, those that count first.

    Returns
    -------
    ExtractionOptions
        As they are where nothing is to be chosen, or nothing stored is of VGG-16.
    """
    if options.engine != "auto" or not may_be_vgg16(options.weights):
        return options
    for recipe in recipes:
        if recipe.get("architecture") == "vgg16":
            return replace(options, engine="onnx" if engine_of(recipe) == "onnx" else "keras")
    return options
