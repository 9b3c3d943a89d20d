"""Tests of `distspc.extraction.backends.keras_vgg16`."""

import importlib.util

import pytest

from distspc.extraction.backends.keras_runtime import import_keras
from distspc.extraction.backends.keras_vgg16 import build_vgg16
from distspc.extraction.network_spec import resolve_network
from distspc.layers import VGG16, vgg16_shape

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_every_layer_has_the_shape_of_the_table_and_none_is_deeper_than_asked():
    import_keras(2)
    model = build_vgg16(resolve_network("random", layers=("block2_pool", "block1_conv1")))
    assert [layer.name for layer in model.layers] == ["image", *list(VGG16)[: list(VGG16).index("block2_pool") + 1]]
    for layer in model.layers[1:]:
        assert tuple(layer.output.shape[1:]) == vgg16_shape(layer.name, 1365)
