"""Which network a study uses, as plain values: weights settled and named by their digest, without loading Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distspc.errors import InputError
from distspc.extraction import weights as weight_files
from distspc.extraction.options import (
    PRECISIONS,
    PREPROCESSING,
    RAW_FAMILIES,
    WEIGHTS_WORDS,
    ExtractionOptions,
    Precision,
    Preprocessing,
    is_weights_path,
)
from distspc.extraction.safe_files import refuse_code
from distspc.layers import N_CLASSES, VGG16


@dataclass(frozen=True)
class NetworkSpec:
    """All that decides a network's activations, in plain values that travel to the workers.

    Attributes
    ----------
    architecture : str
        ``vgg16``, ``file`` (a whole model) or the name of a function of ``keras.applications``.
    weights : str
        Path of the file, or ``random`` or ``imagenet``.
    digest : str
        What the weights are: ``sha256:...`` of the file, or the seed.
    layers : tuple of str
        Wanted layers.
    preprocessing : str
        ``raw`` (RGB, 0 to 255), ``caffe`` (BGR, means subtracted) or ``auto`` (the function of ``keras.applications``
        that belongs to the network).
    precision : str
        Floating-point type of the arithmetic.
    seed : int
        Of random weights.
    n_classes : int
        Width of the last layer of VGG-16.
    """

    architecture: str
    weights: str
    digest: str
    layers: tuple[str, ...]
    preprocessing: str = "raw"
    precision: str = "float32"
    seed: int = 0
    n_classes: int = 1365

    def described(self) -> dict[str, Any]:
        """Return what makes the activations of one layer what they are (no paths, no other layers)."""
        return {
            "architecture": self.architecture,
            "weights": self.digest,
            "preprocessing": self.preprocessing,
            "precision": self.precision,
        }

    def doubts(self) -> list[str]:
        """Say where the network gets another input than it was made for; empty where that is not known."""
        raw = self.architecture.lower().startswith(RAW_FAMILIES)
        own = "raw" if raw else "auto"
        if self.architecture in ("vgg16", "file") or self.preprocessing in ("auto", own):
            return []
        return [
            f"{self.architecture} was made for images as its own function of keras.applications prepares them "
            f"(preprocessing: auto), but got them as preprocessing: {self.preprocessing}"
        ]


def resolve_network(
    weights: str,
    *,
    layers: Sequence[str],
    digest: str | None = ExtractionOptions.digest,
    preprocessing: Preprocessing = ExtractionOptions.preprocessing,
    precision: Precision = ExtractionOptions.precision,
    seed: int = ExtractionOptions.seed,
) -> NetworkSpec:
    """Settle which network is meant, fetching its weights if need be; loads no Keras.

    Parameters
    ----------
    weights
        ``hybrid1365``, ``imagenet`` or ``random`` (VGG-16 each); a path: a Keras-2 weight file (``.h5``) for
        VGG-16 by layer name, or a whole model (``.h5``, ``.keras``); or ``<name>[:imagenet|random]`` with the name
        of a function of ``keras.applications``, such as ``resnet50``.
    layers
        Wanted layers.
    digest
        SHA-256 that the weight file must have.
    preprocessing
        ``raw``, ``caffe``, or ``auto``: the network's own for names from ``keras.applications``, else ``raw``.
    precision
        ``float32``, ``bfloat16`` or ``float16``.
    seed
        Of random weights.

    Returns
    -------
    Recipe

    Raises
    ------
    InputError
        If a setting is not one of those allowed, or a weight file is missing, damaged, or another than wanted.
    """
    _one_of("preprocessing", preprocessing, PREPROCESSING)
    _one_of("precision", precision, PRECISIONS)
    if not layers:
        raise InputError("no layers are requested")
    source = _choose_weights(weights, digest, seed)
    if preprocessing == "auto" and source["architecture"] in ("vgg16", "file"):
        preprocessing = "raw"
    recipe = NetworkSpec(layers=tuple(layers), preprocessing=preprocessing, precision=precision, seed=seed, **source)
    if recipe.architecture == "vgg16":
        refuse_unknown(recipe.layers, VGG16)
    return recipe


# ---------------------------------------------------------------- which network


def _choose_weights(weights: str, digest: str | None, seed: int) -> dict[str, Any]:
    """Architecture, weights, digest and number of classes of what the user named."""
    if weights == "random":
        return {"architecture": "vgg16", "weights": "random", "digest": _random_digest(seed)}
    if weights in weight_files.DOWNLOADS:
        path, found = weight_files.fetch_weights(weights, digest)
        n_classes = N_CLASSES[weights]
        return {"architecture": "vgg16", "weights": str(path), "digest": found, "n_classes": n_classes}
    if is_weights_path(weights):
        return _choose_file(os.path.abspath(os.path.expanduser(weights)), digest)
    name, _, kind = weights.partition(":")
    _one_of(f"weights of {name}", kind or "imagenet", ("imagenet", "random"))
    if name.lower() == "vgg16":
        return _choose_weights(kind or "imagenet", digest, seed)
    if not name.isidentifier():
        raise InputError(f"weights {weights!r}: expected {WEIGHTS_WORDS}")
    given = _random_digest(seed) if kind == "random" else "keras.applications:imagenet"  # Keras checks the file's hash
    return {"architecture": name, "weights": kind or "imagenet", "digest": given}


def _choose_file(path: str, digest: str | None) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise InputError(f"weights {path!r}: there is no such file")
    found = weight_files.file_digest(path)
    weight_files.check_digest(path, found, digest)
    if weight_files.is_whole_model(path):
        refuse_code(path)
        return {"architecture": "file", "weights": path, "digest": found}
    shapes = weight_files.weight_shapes(path, "predictions")
    n_classes = shapes[0][-1] if shapes and shapes[0] else 1365
    return {"architecture": "vgg16", "weights": path, "digest": found, "n_classes": n_classes}


def _random_digest(seed: int) -> str:
    return f"random:he-uniform:{seed}"


def _one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InputError(f"{what} {value!r} is not one of {', '.join(allowed)}")


def refuse_unknown(layers: Sequence[str], known: Mapping[str, Any] | Sequence[str]) -> None:
    """Refuse layers that a network does not have.

    Parameters
    ----------
    layers
        Asked layers.
    known
        Names of the layers that there are.

    Raises
    ------
    InputError
        Lists the known ones.
    """
    unknown = [layer for layer in layers if layer not in known]
    if unknown:
        raise InputError(f"the network has no layer {', '.join(map(repr, unknown))}; it has {', '.join(known)}")
