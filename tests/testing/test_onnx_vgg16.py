"""Tests of `distspc.testing.onnx_vgg16`."""

import numpy as np
import pytest

from distspc.layers import VGG16, vgg16_weight_shapes
from distspc.testing.onnx_vgg16 import random_vgg16_weights, write_vgg16

onnx = pytest.importorskip("onnx")


def test_the_weights_are_those_of_random():
    weights = random_vgg16_weights(list(VGG16)[:3], seed=2)
    assert {name: [a.shape for a in arrays] for name, arrays in weights.items()} == vgg16_weight_shapes(
        list(VGG16)[:3], 1365
    )
    assert not np.array_equal(weights["block1_conv1"][0], random_vgg16_weights(["block1_conv1"])["block1_conv1"][0])


def test_the_file_is_a_valid_graph_with_a_name_for_every_layer(tmp_path):
    layers = list(VGG16)[:3]
    path = write_vgg16(tmp_path / "m.onnx", random_vgg16_weights(layers), layers=layers)
    onnx.checker.check_model(str(path))
    graph = onnx.load(str(path)).graph
    assert [node.name for node in graph.node if node.name] == [f"node/{layer}" for layer in layers]
    assert [value.name for value in graph.output] == ["/block1_pool"]
