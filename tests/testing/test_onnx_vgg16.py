"""Tests of `distspc.testing.onnx_vgg16`."""

import numpy as np
import pytest

from distspc.testing.onnx_vgg16 import write_vgg16

onnx = pytest.importorskip("onnx")


def test_the_file_is_a_valid_graph_with_a_name_and_the_weights_of_every_layer(tmp_path):
    layers = ["conv", "pool", "flatten", "drop", "predictions"]
    rng = np.random.default_rng(0)
    weights = {
        "conv": (rng.normal(size=(3, 3, 3, 4)).astype("f4"), np.ones(4, "f4")),
        "predictions": (rng.normal(size=(36, 5)).astype("f4"), np.zeros(5, "f4")),
    }
    path = write_vgg16(tmp_path / "m.onnx", weights, layers=layers, input_shape=("n", 3, 6, 6))
    onnx.checker.check_model(str(path), full_check=True)
    graph = onnx.load(str(path)).graph
    assert [node.name for node in graph.node if node.name] == [f"node/{layer}" for layer in layers]
    assert [value.name for value in graph.output] == ["/predictions"]
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    np.testing.assert_array_equal(stored["conv_kernel"], weights["conv"][0].transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(stored["predictions_kernel"], weights["predictions"][0])
