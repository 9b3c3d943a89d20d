"""Tests of `distspc.extraction.backends.onnx_vgg16`: VGG-16 in ONNX Runtime gives what Keras gives."""

import builtins
import importlib.util

import h5py
import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.network import Network, network_size
from distspc.extraction.network_spec import resolve_network
from distspc.layers import VGG16, VGG16_LAYERS, vgg16_shape, vgg16_weight_shapes

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
in_keras_too = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed")


def images(n):
    return np.random.default_rng(n).integers(0, 256, (n, 224, 224, 3)).astype(np.uint8)


def in_both(n, **settings):
    """Activations of some images in either engine, one network after the other."""
    settings = {"layers": VGG16_LAYERS, **settings}
    weights = settings.pop("weights", "random")
    return [
        Network(resolve_network(weights, engine=engine, **settings), 1).activations(images(n))
        for engine in ("keras", "onnx")
    ]


@in_keras_too
@pytest.mark.parametrize(
    ("n", "preprocessing"),
    [(16, "raw"), (1, "caffe"), (1, {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "scale": "1/255"})],
)
def test_every_layer_is_that_of_keras(n, preprocessing, record_property):
    in_keras, in_onnx = in_both(n, preprocessing=preprocessing)
    for layer in VGG16_LAYERS:
        assert in_onnx[layer].shape == in_keras[layer].shape == (n, *vgg16_shape(layer, 1365))
        assert in_onnx[layer].dtype == np.float32
        difference = np.abs(in_onnx[layer] - in_keras[layer]).max() / np.abs(in_keras[layer]).max()
        record_property(layer, difference)
        assert 0 <= difference < 1e-5, layer


@in_keras_too
def test_weights_of_a_file_are_taken_by_layer_name(tmp_path):
    rng = np.random.default_rng(0)
    layers = list(VGG16)[:4]
    with h5py.File(tmp_path / "w.h5", "w") as file:
        shapes = vgg16_weight_shapes(layers, 1365)
        file.attrs["layer_names"] = [name.encode() for name in shapes]
        for name, (kernel, bias) in shapes.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [b"kernel", b"bias"]
            group["kernel"] = rng.normal(size=kernel).astype("f4") / 10
            group["bias"] = rng.normal(size=bias).astype("f4")
    in_keras, in_onnx = in_both(2, weights=str(tmp_path / "w.h5"), layers=["block2_conv1", "block1_pool"])
    for layer, values in in_keras.items():
        assert values.max() > 0
        np.testing.assert_allclose(in_onnx[layer], values, rtol=0, atol=1e-5 * np.abs(values).max(), err_msg=layer)


def test_an_image_does_not_depend_on_the_others_of_its_batch():
    network = Network(resolve_network("random", layers=["block1_pool", "block3_pool"], engine="onnx"), 1)
    batch = images(5)
    found, turned = network.activations(batch), network.activations(batch[::-1])
    for layer, values in found.items():
        np.testing.assert_array_equal(values, turned[layer][::-1], err_msg=layer)


def test_no_weights_above_the_deepest_layer_are_read_or_run():
    network = Network(resolve_network("random", layers=["block1_conv1", "block1_pool"], engine="onnx"), 1)
    assert network.input_size == (224, 224)
    assert {one.name for one in network._backend._session.get_outputs()} == {"block1_conv1", "block1_pool"}
    names = [node.name for node in network._backend._session.get_inputs()]
    assert names == ["image"]


def test_the_size_is_that_in_keras_but_for_the_memory():
    in_keras, in_onnx = (
        network_size(resolve_network("random", layers=("fc2", "block1_pool"), engine=engine))
        for engine in ("keras", "onnx")
    )
    assert in_onnx.shapes == in_keras.shapes
    assert in_onnx.flop == in_keras.flop
    assert in_onnx.memory != in_keras.memory


@pytest.mark.parametrize("absent", ["onnx", "onnxruntime"])
def test_without_the_extra_it_is_named(absent, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == absent:
            raise ImportError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"engine 'onnx' needs .*pip install 'distspc\[onnx\]'"):
        Network(resolve_network("random", layers=["block1_conv1"], engine="onnx"), 1)
