"""The words that the settings of an extraction may take."""

from __future__ import annotations

import os
from pathlib import Path

STORAGE_DTYPES = ("float32", "float16")


PREPROCESSING = ("auto", "raw", "caffe")
WEIGHT_FILES = (".h5", ".hdf5", ".keras")
PRECISIONS = ("float32", "bfloat16", "float16")
RAW_FAMILIES = ("convnext", "efficientnet", "mobilenetv3", "resnetrs")
"""Networks of ``keras.applications`` that take 0 to 255: they hold their preprocessing themselves."""
WEIGHTS_WORDS = (
    "hybrid1365, imagenet, random, a path to a .h5 or .keras file, or a name from keras.applications such as resnet50"
)


def is_weights_path(weights: str) -> bool:
    """Whether weights are named by a file's path, not by a word."""
    return Path(weights).suffix.lower() in WEIGHT_FILES or "/" in weights or os.sep in weights
