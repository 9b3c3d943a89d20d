"""VGG-16, and smaller networks built like it, as ONNX files with the weights of their Keras twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from distspc.extraction.backends.onnx_vgg16 import build_graph
from distspc.layers import VGG16

Weights = Mapping[str, tuple[np.ndarray, np.ndarray]]


def write_vgg16(
    path: str | Path,
    weights: Weights,
    *,
    layers: Sequence[str] = tuple(VGG16),
    input_shape: Sequence[int | str] = ("n", 3, 224, 224),
    prefix: str = "/",
) -> Path:
    """Write convolutions, poolings and dense layers as a graph that takes (n, 3, height, width), or channels last.

    Parameters
    ----------
    path
        The file to write.
    weights
        By layer, kernel and bias as Keras has them.
    layers
        Names in order; a name in `weights` is a convolution or a dense layer with ReLU, by its kernel, others are what
        the end of their name says: ``pool`` or ``flatten``.
    input_shape
        Shape of the input; a text is a length of any size.
    prefix
        Of the names of tensors, which are ``<prefix><layer>``; nodes are called ``node<prefix><layer>``.

    Returns
    -------
    pathlib.Path
    """
    import onnx

    kinds = {name: _kind(name, name in weights) for name in layers}
    given = ((name, weights[name]) for name in layers if name in weights)
    model, arrays = build_graph(kinds, given, input_shape=input_shape, prefix=prefix, maps_last=False)
    del model.graph.initializer[:]
    model.graph.initializer.extend(onnx.numpy_helper.from_array(values, name) for name, values in arrays.items())
    onnx.save(onnx.shape_inference.infer_shapes(model), str(path))
    return Path(path)


def _kind(name: str, weighted: bool) -> int | str:
    """What a layer is, as `distspc.layers.VGG16` says it; a width's number does not matter."""
    if weighted:
        return "softmax" if name == "predictions" else 0
    return next((kind for kind in ("pool", "flatten") if name.endswith(kind)), "dropout")
