"""Tests of `distspc.extraction.backends.keras_vgg16`."""

import importlib.util

import pytest

from distspc.errors import InputError
from distspc.extraction.backends import vgg16
from distspc.extraction.backends.keras_runtime import import_keras
from distspc.extraction.backends.keras_vgg16 import build_vgg16
from distspc.extraction.files import weights
from distspc.extraction.network_spec import NetworkSpec, resolve_network
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


def test_weights_are_read_whole_before_they_are_used_whatever_is_known_of_the_file(tmp_path, monkeypatch):
    file = tmp_path / "w.h5"
    file.write_bytes(b"damaged since")
    before = "sha256:" + "0" * 64
    monkeypatch.setattr(weights, "known_digest", lambda *_: before)
    assert weights.file_digest(file) == before
    spec = NetworkSpec("vgg16", str(file), before, ("fc2",))
    with pytest.raises(InputError, match=f"have digest sha256:.*, expected {before}"):
        next(vgg16.read_weights(spec))
