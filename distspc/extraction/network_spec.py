"""Which network a study uses, as plain values: weights settled and named by their digest, without loading Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from distspc.errors import InputError
from distspc.extraction.engines import BackendName, choose_engine, own_engine
from distspc.extraction.files import onnx_files, timm_models
from distspc.extraction.files import weights as weight_files
from distspc.extraction.files.safe_files import refuse_code, refuse_torch_code
from distspc.extraction.options import (
    ENGINES,
    PRECISIONS,
    PREPROCESSING,
    RAW_FAMILIES,
    TIMM,
    WEIGHTS_WORDS,
    Engine,
    ExtractionOptions,
    Precision,
    Preprocessing,
    is_weights_path,
)
from distspc.extraction.pooling import POOLINGS, Pooling, Prefix
from distspc.extraction.preprocessing import StatedPreprocessing, stated
from distspc.images.resizing import PAPER, Resize
from distspc.layers import N_CLASSES, VGG16
from distspc.messages import did_you_mean, shorten

_MOST_NAMES = 60


@dataclass(frozen=True)
class NetworkSpec:
    """All that decides a network's activations, in plain values that travel to the workers.

    Attributes
    ----------
    architecture : str
        ``vgg16``, ``file`` (a whole Keras model), ``onnx``, ``timm:NAME``, or the name of a function of
        ``keras.applications``.
    weights : str
        Path of the file, or ``random`` or ``imagenet``.
    digest : str
        What the weights are: ``sha256:...`` of the file, or the seed.
    layers : tuple of str
        Wanted layers.
    preprocessing : str or StatedPreprocessing
        ``raw`` (RGB, 0 to 255), ``caffe`` (BGR, means subtracted), ``auto`` (the function of ``keras.applications``
        that belongs to the network), or every step.
    precision : str
        Floating-point type of the arithmetic.
    seed : int
        Of random weights.
    n_classes : int
        Width of the last layer of VGG-16.
    pooling : tuple
        Layers of whose output not all is kept as it is, each with what is.
    prefix_tokens : int or None
        Tokens before those of patches, as the study states them.
    engine : str or None
        ``onnx`` for VGG-16 in ONNX Runtime; None: the engine of the network's kind.
    """

    architecture: str
    weights: str
    digest: str
    layers: tuple[str, ...]
    preprocessing: str | StatedPreprocessing = "raw"
    precision: str = "float32"
    seed: int = 0
    n_classes: int = 1365
    pooling: tuple[tuple[str, Pooling], ...] = ()
    prefix_tokens: int | None = None
    engine: Literal["onnx"] | None = None

    @property
    def stated_prefix(self) -> Prefix | None:
        """Tokens before those of patches as the study states them, the class token the first of any."""
        return None if self.prefix_tokens is None else Prefix(self.prefix_tokens, self.prefix_tokens > 0)

    @property
    def backend(self) -> BackendName:
        """What runs this network."""
        return self.engine or own_engine(self.architecture)

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width of the input as the study states them; None: the network's own."""
        return self.preprocessing.size if isinstance(self.preprocessing, StatedPreprocessing) else None

    @property
    def resize(self) -> Resize:
        """How images become as large as the input."""
        return self.preprocessing.rule if isinstance(self.preprocessing, StatedPreprocessing) else PAPER

    def described(self, layer: str = "") -> dict[str, Any]:
        """Return what makes the activations of one layer what they are (no paths, no other layers)."""
        steps, pooling = self.preprocessing, dict(self.pooling).get(layer)
        prefix = self.prefix_tokens if pooling in ("mean", "max", "cls") else None
        return {
            "architecture": self.architecture,
            "weights": self.digest,
            "preprocessing": steps if isinstance(steps, str) else steps.described(),
            "precision": self.precision,
            **({"engine": self.engine} if self.engine else {}),
            **({"pooling": pooling} if pooling else {}),
            **({"prefix_tokens": prefix} if prefix is not None else {}),
        }

    def doubts(self) -> list[str]:
        """Say where the network gets another input than it was made for; empty where that is not known."""
        if isinstance(self.preprocessing, StatedPreprocessing):
            return []
        if self.architecture == "onnx" and self.preprocessing == "raw":
            return [
                "an ONNX file does not say how its images are to be prepared: it got RGB from 0 to 255 (preprocessing: "
                "raw); state `preprocessing` as a mapping (mean, std, scale, resize, size) if it was made for others"
            ]
        raw = self.architecture.lower().startswith(RAW_FAMILIES)
        own = "raw" if raw else "auto"
        if self.architecture in ("vgg16", "file", "onnx") or self.preprocessing in ("auto", own):
            return []
        made_for = (
            "timm's own configuration says"
            if self.backend == "torch"
            else ("its own function of keras.applications prepares them")
        )
        return [
            f"{self.architecture} was made for images as {made_for} (preprocessing: auto), but got them as "
            f"preprocessing: {self.preprocessing}"
        ]


def resolve_network(
    weights: str,
    *,
    layers: Sequence[str],
    pooling: Pooling | Mapping[str, Pooling] = ExtractionOptions.pooling,
    prefix_tokens: int | None = ExtractionOptions.prefix_tokens,
    **settings: Any,
) -> NetworkSpec:
    """Settle which network is meant and what is wanted of it, fetching its weights if need be; loads no Keras.

    Parameters
    ----------
    weights
        As `choose_network`.
    layers
        Wanted layers.
    pooling
        What of a layer's output is kept, for all layers or by layer: ``none``, ``mean``, ``max``, ``cls`` or
        ``flatten`` (see `distspc.extraction.pooling`).
    prefix_tokens
        Number of tokens before those of patches, where the network does not say or is to be overruled.
    **settings
        The other parameters of `choose_network`.

    Returns
    -------
    NetworkSpec

    Raises
    ------
    InputError
        As `choose_network`; or if no layers are wanted, or VGG-16 has no such layer.
    """
    if not layers:
        raise InputError("no layers are requested")
    words = {layer: pooling.get(layer, "none") if isinstance(pooling, Mapping) else pooling for layer in layers}
    for layer, word in words.items():
        _one_of(f"pooling of {layer}", word, POOLINGS)
    pooled = tuple((layer, word) for layer, word in words.items() if word != "none")
    network = choose_network(weights, **settings)
    spec = replace(network, layers=tuple(layers), pooling=pooled, prefix_tokens=prefix_tokens)
    if spec.architecture == "vgg16":
        refuse_unknown(spec.layers, VGG16)
    return spec


def choose_network(
    weights: str,
    *,
    file: str | None = ExtractionOptions.file,
    digest: str | None = ExtractionOptions.digest,
    preprocessing: Preprocessing = ExtractionOptions.preprocessing,
    precision: Precision = ExtractionOptions.precision,
    seed: int = ExtractionOptions.seed,
    engine: Engine | None = ExtractionOptions.engine,
) -> NetworkSpec:
    """Settle which network is meant, whatever its layers.

    Parameters
    ----------
    weights
        ``hybrid1365``, ``imagenet`` or ``random`` (VGG-16 each); a path: a Keras-2 weight file (``.h5``) for
        VGG-16 by layer name, a whole model (``.h5``, ``.keras``) or an ONNX file; ``timm:NAME[:random]``; or
        ``<name>[:imagenet|random]`` with the name of a function of ``keras.applications``, such as ``resnet50``.
    file
        Weights of a network of timm (``.safetensors``, ``.pth``), instead of those that timm fetches.
    digest
        SHA-256 that the weight file must have.
    preprocessing
        ``raw``, ``caffe``, or ``auto``: the network's own for names from ``keras.applications`` and timm, else
        ``raw``; or a mapping with every step (see `distspc.extraction.preprocessing.stated`).
    precision
        ``float32``, ``bfloat16`` or ``float16``.
    seed
        Of random weights.
    engine
        ``keras``; ``onnx``: ONNX Runtime, also for VGG-16; ``auto``: ONNX Runtime for VGG-16 where it is installed;
        None: that of the network's kind.

    Returns
    -------
    NetworkSpec
        Without layers.

    Raises
    ------
    InputError
        If a setting is not one of those allowed, or a weight file is missing, damaged, or another than wanted.
    """
    steps = _settled(preprocessing)
    _one_of("precision", precision, PRECISIONS)
    if engine is not None:
        _one_of("engine", engine, ENGINES)
    if file is not None and not weights.startswith(TIMM):
        raise InputError(f"`file` {file!r} goes with weights of timm (timm:NAME), not with {weights!r}")
    source = _choose_weights(weights, digest, seed, file)
    if source["architecture"] == "onnx" and precision != "float32":
        raise InputError(f"precision {precision!r}: an ONNX file has the types that it was exported with; leave it out")
    if steps == "auto":
        steps = _own_preprocessing(source["architecture"])
    chosen = choose_engine(engine, source["architecture"], precision)
    return NetworkSpec(layers=(), preprocessing=steps, precision=precision, seed=seed, engine=chosen, **source)


def _settled(preprocessing: Preprocessing) -> str | StatedPreprocessing:
    if isinstance(preprocessing, Mapping):
        try:
            return stated(preprocessing)
        except ValueError as error:
            raise InputError(f"preprocessing: {error}") from error
    if isinstance(preprocessing, str):
        _one_of("preprocessing", preprocessing, PREPROCESSING)
    return preprocessing


def _own_preprocessing(architecture: str) -> str | StatedPreprocessing:
    """What `auto` is for a network."""
    if architecture.startswith(TIMM):
        return timm_models.own_preprocessing(architecture.removeprefix(TIMM))
    return "raw" if architecture in ("vgg16", "file", "onnx") else "auto"


# ---------------------------------------------------------------- which network


def _choose_weights(weights: str, digest: str | None, seed: int, file: str | None = None) -> dict[str, Any]:
    """Architecture, weights, digest and number of classes of what the user named."""
    if weights.startswith(TIMM):
        return _choose_timm(weights, digest, seed, file)
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


def _choose_timm(weights: str, digest: str | None, seed: int, file: str | None) -> dict[str, Any]:
    name, _, kind = weights.removeprefix(TIMM).partition(":")
    _one_of(f"weights of {name}", kind or "random", ("random",))
    if kind:
        return {"architecture": TIMM + name, "weights": kind, "digest": _random_digest(seed)}
    path = timm_models.weights_file(name) if file is None else os.path.abspath(os.path.expanduser(file))
    timm_models.refuse_other_files(path)
    refuse_torch_code(path)
    found = weight_files.file_digest(path)
    weight_files.check_digest(path, found, digest)
    return {"architecture": TIMM + name, "weights": path, "digest": found}


def _choose_file(path: str, digest: str | None) -> dict[str, Any]:
    if os.path.isdir(path):
        raise InputError(f"weights {path!r} is a folder: expected a file")
    if not os.path.isfile(path):
        raise InputError(f"weights {path!r}: there is no such file; paths are taken from the folder of the study file")
    if path.lower().endswith(".onnx"):
        found = onnx_files.model_digest(path)
        weight_files.check_digest(path, found, digest)
        return {"architecture": "onnx", "weights": path, "digest": found}
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
        Lists the known ones, and names near misses.
    """
    unknown = [layer for layer in layers if layer not in known]
    if unknown:
        raise InputError(
            f"the network has no layer {', '.join(map(repr, unknown))}; {did_you_mean(unknown[0], known)}"
            f"it has {shorten(known, most=_MOST_NAMES)}"
        )
