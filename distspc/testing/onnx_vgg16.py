"""VGG-16, and smaller networks built like it, as ONNX files with the weights of their Keras twins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distspc.extraction.backends.base import random_kernel
from distspc.layers import VGG16, vgg16_weight_shapes

Weights = Mapping[str, tuple[np.ndarray, np.ndarray]]


def random_vgg16_weights(layers: Sequence[str], *, n_classes: int = 1365, seed: int = 0) -> dict[str, Any]:
    """Kernels and biases of VGG-16 as ``weights: random`` draws them.

    Parameters
    ----------
    layers
        Names of the first layers, in order.
    n_classes
        Width of the last layer.
    seed
        Seed of the network.

    Returns
    -------
    dict
        By layer, (row, column, in, out) or (in, out), and (out,).
    """
    found = {}
    for name, (kernel, bias) in vgg16_weight_shapes(layers, n_classes).items():
        drawn = random_kernel(kernel, int(np.prod(kernel[:-1])), seed=seed, name=name)
        found[name] = (drawn, np.zeros(bias, np.float32))
    return found


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

    last = input_shape[1] != 3
    nodes, stored, at = [], [], "image"
    if last:
        nodes.append(onnx.helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]))
        at = "first"
    for name in layers:
        for node in _nodes(name, at, prefix, weights.get(name)):
            nodes.append(node)
            at = node.output[0]
        stored += _stored(name, weights.get(name))
    kind = onnx.TensorProto.FLOAT
    given = onnx.helper.make_tensor_value_info("image", kind, list(input_shape))
    output = onnx.ValueInfoProto(name=at)  # what it is follows from the graph
    graph = onnx.helper.make_graph(nodes, "vgg", [given], [output], initializer=stored)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), str(path))
    return Path(path)


def _nodes(name: str, at: str, prefix: str, weights: tuple[np.ndarray, np.ndarray] | None) -> Iterator[Any]:
    from onnx.helper import make_node

    out, called = prefix + name, f"node{prefix}{name}"
    if weights is None and name.endswith("pool"):
        yield make_node("MaxPool", [at], [out], name=called, kernel_shape=[2, 2], strides=[2, 2])
    elif weights is None and name == "flatten":
        yield make_node("Transpose", [at], [f"{name}_last"], perm=[0, 2, 3, 1])
        yield make_node("Flatten", [f"{name}_last"], [out], name=called)
    elif weights is None:
        yield make_node("Identity", [at], [out], name=called)
    else:
        inputs = [at, f"{name}_kernel", f"{name}_bias"]
        if weights[0].ndim == 4:
            yield make_node("Conv", inputs, [f"{name}_sum"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        else:
            yield make_node("Gemm", inputs, [f"{name}_sum"])
        softmax = name == "predictions"
        yield make_node("Softmax" if softmax else "Relu", [f"{name}_sum"], [out], name=called)


def _stored(name: str, weights: tuple[np.ndarray, np.ndarray] | None) -> list[Any]:
    from onnx.numpy_helper import from_array

    if weights is None:
        return []
    kernel, bias = weights
    kernel = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel
    return [from_array(np.ascontiguousarray(kernel), f"{name}_kernel"), from_array(bias, f"{name}_bias")]
