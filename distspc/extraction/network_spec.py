"""Which network a study uses, as plain values: weights settled and named by their digest, without loading Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distspc import weights as weight_files
from distspc.errors import InputError

PREPROCESSING = ("auto", "raw", "caffe")
WEIGHT_FILES = (".h5", ".hdf5", ".keras")
PRECISIONS = ("float32", "bfloat16", "float16")
N_CLASSES = {"hybrid1365": 1365, "imagenet": 1000, "random": 1365}

# VGG-16 in order: a convolution's or dense layer's width, "pool", "flatten" or "dropout".
VGG16: dict[str, int | str] = {}
for _block, (_n_convolutions, _width) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
    VGG16.update({f"block{_block}_conv{i}": _width for i in range(1, _n_convolutions + 1)})
    VGG16[f"block{_block}_pool"] = "pool"
VGG16.update({"flatten": "flatten", "fc1": 4096, "drop_fc1": "dropout", "fc2": 4096, "drop_fc2": "dropout"})
VGG16["predictions"] = "softmax"
RAW_FAMILIES = ("convnext", "efficientnet", "mobilenetv3", "resnetrs")
"""Networks of ``keras.applications`` that take 0 to 255: they hold their preprocessing themselves."""
WEIGHTS_WORDS = (
    "hybrid1365, imagenet, random, a path to a .h5 or .keras file, or a name from keras.applications such as resnet50"
)


@dataclass(frozen=True)
class Recipe:
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


def choose_network(
    weights: str,
    *,
    layers: Sequence[str],
    digest: str | None = None,
    preprocessing: str = "auto",
    precision: str = "float32",
    seed: int = 0,
) -> Recipe:
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
        raise InputError("no layers are asked for")
    source = _choose_weights(weights, digest, seed)
    if preprocessing == "auto" and source["architecture"] in ("vgg16", "file"):
        preprocessing = "raw"
    recipe = Recipe(layers=tuple(layers), preprocessing=preprocessing, precision=precision, seed=seed, **source)
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
        raise InputError(f"weights {weights!r}: wanted is {WEIGHTS_WORDS}")
    given = _random_digest(seed) if kind == "random" else "keras.applications:imagenet"  # Keras checks the file's hash
    return {"architecture": name, "weights": kind or "imagenet", "digest": given}


def is_weights_path(weights: str) -> bool:
    """Whether weights are named by a file's path, not by a word."""
    return Path(weights).suffix.lower() in WEIGHT_FILES or "/" in weights or os.sep in weights


def _choose_file(path: str, digest: str | None) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise InputError(f"weights {path!r}: there is no such file")
    found = weight_files.file_digest(path)
    weight_files.check_digest(path, found, digest)
    if weight_files.is_whole_model(path):
        weight_files.refuse_code(path)
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


# ---------------------------------------------------------------- VGG-16


def vgg16_shape(layer: str, n_classes: int) -> tuple[int, ...]:
    """Shape of a layer's output for one image.

    Parameters
    ----------
    layer
        Name of a layer of VGG-16.
    n_classes
        Width of the last layer.

    Returns
    -------
    tuple of int
        (row, column, channel) or (unit,).
    """
    side, channels = 224, 3
    for name, kind in VGG16.items():
        side = side // 2 if kind == "pool" else side
        channels = kind if isinstance(kind, int) else channels
        if name == layer:
            break
    if layer.startswith("block"):
        return (side, side, channels)
    return {"flatten": (side * side * 512,), "predictions": (n_classes,)}.get(layer, (4096,))


def vgg16_weight_shapes(layers: Sequence[str], n_classes: int) -> dict[str, list[tuple[int, ...]]]:
    """Shapes of kernel and bias of the layers of VGG-16 that have any.

    Parameters
    ----------
    layers
        The first layers, in order.
    n_classes
        Width of the last layer.

    Returns
    -------
    dict
        By layer, the kernel's shape and the bias's.
    """
    shapes: dict[str, list[tuple[int, ...]]] = {}
    n_inputs = 3
    for name in layers:
        kind = n_classes if VGG16[name] == "softmax" else VGG16[name]
        if isinstance(kind, int):
            kernel = (3, 3, n_inputs, kind) if name.startswith("block") else (n_inputs, kind)
            shapes[name] = [kernel, (kind,)]
            n_inputs = kind
        elif kind == "flatten":
            n_inputs = vgg16_shape("flatten", n_classes)[0]
    return shapes
