"""Settings of an extraction, and the words that they may take."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from distspc.extraction.pooling import Pooling
from distspc.extraction.preprocessing import StatedPreprocessing

PreprocessingWord = Literal["auto", "raw", "caffe"]
Preprocessing = PreprocessingWord | StatedPreprocessing | Mapping[str, Any]
Precision = Literal["float32", "bfloat16", "float16"]
StorageType = Literal["float32", "float16"]
Engine = Literal["keras", "onnx", "auto"]

PREPROCESSING: tuple[PreprocessingWord, ...] = get_args(PreprocessingWord)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
ENGINES: tuple[Engine, ...] = get_args(Engine)
STORAGE_DTYPES: tuple[StorageType, ...] = get_args(StorageType)
BUILTIN_WEIGHTS = ("hybrid1365", "imagenet", "random")
WEIGHT_FILES = (".h5", ".hdf5", ".keras", ".onnx")
TIMM = "timm:"
"""What weights of timm begin with: ``timm:NAME`` or ``timm:NAME:random``."""
RAW_FAMILIES = ("convnext", "efficientnet", "mobilenetv3", "resnetrs")
"""Networks of ``keras.applications`` that take 0 to 255: they hold their preprocessing themselves."""
WEIGHTS_WORDS = (
    "hybrid1365, imagenet, random, a path to a .h5 or .keras file or to an .onnx file, timm:NAME, or a name from "
    "keras.applications such as resnet50"
)


@dataclass(frozen=True)
class ExtractionOptions:
    """What makes the activations of a study, and how they are computed.

    Attributes
    ----------
    weights, file, digest, preprocessing, precision, seed, engine
        The network (see `distspc.extraction.network_spec.resolve_network`).
    batch_size
        Images per forward pass.
    dtype
        Stored type.
    pooling
        What of a layer's output is kept (see `distspc.extraction.pooling`): for all layers, or by layer.
    prefix_tokens
        Tokens before those of patches, where the network does not say or is to be overruled.
    """

    weights: str = "hybrid1365"
    digest: str | None = None
    preprocessing: Preprocessing = "auto"
    batch_size: int = 16
    precision: Precision = "float32"
    dtype: StorageType = "float32"
    seed: int = 0
    file: str | None = None
    pooling: Pooling | Mapping[str, Pooling] = "none"
    prefix_tokens: int | None = None
    engine: Engine | None = None

    @property
    def choice(self) -> dict[str, Any]:
        """The settings that say which network, as `choose_network` takes them."""
        names = ("weights", "file", "digest", "preprocessing", "precision", "seed", "engine")
        return {name: getattr(self, name) for name in names}

    @property
    def network(self) -> dict[str, Any]:
        """The settings that say which network, and what of it is kept, as `resolve_network` takes them."""
        return {**self.choice, "pooling": self.pooling, "prefix_tokens": self.prefix_tokens}


def is_weights_path(weights: str) -> bool:
    """Whether weights are named by a file's path, not by a word."""
    if weights.startswith(TIMM):
        return False
    return Path(weights).suffix.lower() in WEIGHT_FILES or "/" in weights or os.sep in weights
