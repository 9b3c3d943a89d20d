"""A small network in an ONNX file, which needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_network(path: Path, *, seed: int = 0) -> str:
    """Write a network of 12 x 10 pixels with the layers ``edges`` (8 maps) and ``top`` (6 units)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(8, 3, 3, 3)).astype(np.float32) / 100
    dense = rng.normal(size=(8 * 12 * 10, 6)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["edges"]),
        helper.make_node("Flatten", ["edges"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["top"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 12, 10])],
        [helper.make_tensor_value_info("top", TensorProto.FLOAT, ["n", 6])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(dense, "dense")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)
