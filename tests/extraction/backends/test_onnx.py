"""Tests of `distspc.extraction.backends.onnx`."""

import os
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from distspc.errors import InputError
from distspc.extraction.backends.keras_runtime import import_keras
from distspc.extraction.network import layer_shapes, list_layers, load_network
from distspc.extraction.network_spec import resolve_network
from distspc.testing.onnx_vgg16 import write_vgg16

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper = onnx.helper

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

LAYERS = ["conv1", "conv2", "pool", "flatten", "fc", "predictions"]
SIDES = (12, 10)


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)
    shapes = {"conv1": (3, 3, 3, 4), "conv2": (3, 3, 4, 5), "fc": (6 * 5 * 5, 8), "predictions": (8, 6)}
    return {
        name: (rng.normal(size=shape).astype("f4") / 9, rng.normal(size=shape[-1]).astype("f4"))
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (5, *SIDES, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def in_keras(weights, images):
    """Outputs of the same network, built and run by Keras."""
    keras = import_keras(2)
    inputs = keras.Input((*SIDES, 3))
    x, outputs = inputs, {}
    for name in LAYERS:
        if name.startswith("conv"):
            x = keras.layers.Conv2D(weights[name][1].size, 3, padding="same", activation="relu", name=name)(x)
        elif name == "pool":
            x = keras.layers.MaxPooling2D(2, name=name)(x)
        elif name == "flatten":
            x = keras.layers.Flatten(name=name)(x)
        else:
            activation = "softmax" if name == "predictions" else "relu"
            x = keras.layers.Dense(weights[name][1].size, activation=activation, name=name)(x)
        outputs[name] = x
    model = keras.Model(inputs, outputs)
    for name, arrays in weights.items():
        model.get_layer(name).set_weights(arrays)
    return {name: np.asarray(values) for name, values in model.predict_on_batch(images.astype(np.float32)).items()}


def network(path, layers, **settings):
    return load_network(resolve_network(str(path), layers=layers, **settings), 1)


@pytest.mark.parametrize(
    "shape", [("n", 3, 12, 10), (1, 3, 12, 10), (2, 3, "h", "w"), ("n", 12, 10, 3), (4, "h", "w", 3)]
)
def test_the_same_network_gives_what_keras_gives(tmp_path, weights, images, in_keras, shape):
    path = write_vgg16(tmp_path / "m.onnx", weights, layers=LAYERS, input_shape=shape)
    names = [f"/{name}" for name in LAYERS]
    steps = {"size": list(SIDES)}
    net = network(path, names, preprocessing=steps)
    assert net.input_size == SIDES
    found = net.activations(images)
    for layer in LAYERS:
        assert found[f"/{layer}"].shape == in_keras[layer].shape  # maps with their channels last, as Keras has them
        assert found[f"/{layer}"].dtype == np.float32
        np.testing.assert_allclose(
            found[f"/{layer}"], in_keras[layer], rtol=1e-5, atol=1e-5 * np.abs(in_keras[layer]).max(), err_msg=layer
        )
    shapes = layer_shapes(resolve_network(str(path), layers=names, preprocessing=steps))
    assert shapes == {f"/{layer}": in_keras[layer].shape[1:] for layer in LAYERS}


def test_a_layer_may_be_called_as_its_node_and_the_graph_is_cut_behind_the_deepest(tmp_path, weights, images, in_keras):
    path = write_vgg16(tmp_path / "m.onnx", weights, layers=LAYERS, input_shape=("n", 3, *SIDES))
    net = network(path, ["node/pool", "/pool", "node/conv1"])
    found = net.activations(images)
    np.testing.assert_array_equal(found["node/pool"], found["/pool"])
    np.testing.assert_allclose(found["node/conv1"], in_keras["conv1"], rtol=1e-5, atol=1e-3)
    session = net._backend._session
    assert {output.name for output in session.get_outputs()} == {"/pool", "/conv1"}


def test_the_cut_graph_holds_no_weights_that_it_does_not_need(tmp_path, weights):
    from distspc.extraction.backends import onnx as backend
    from distspc.extraction.files.onnx_files import read_model

    path = write_vgg16(tmp_path / "m.onnx", weights, layers=LAYERS, input_shape=("n", 3, *SIDES))
    cut = backend._cut(read_model(str(path)), "image", ["/conv2"])
    assert {tensor.name for tensor in cut.graph.initializer} == {
        "conv1_kernel", "conv1_bias", "conv2_kernel", "conv2_bias",
    }  # fmt: skip
    assert [node.op_type for node in cut.graph.node] == ["Conv", "Relu"] * 2


def test_layers_are_listed_in_order_with_kind_shape_and_features(tmp_path, weights):
    path = write_vgg16(tmp_path / "m.onnx", weights, layers=LAYERS, input_shape=("n", 3, *SIDES))
    found = list_layers(resolve_network(str(path), layers=["any"]))
    assert [(one.name, one.kind, one.shape, one.n_features) for one in found if one.name.startswith("/")] == [
        ("/conv1", "Relu", (12, 10, 4), 480),
        ("/conv2", "Relu", (12, 10, 5), 600),
        ("/pool", "MaxPool", (6, 5, 5), 150),
        ("/flatten", "Flatten", (150,), 150),
        ("/fc", "Relu", (8,), 8),
        ("/predictions", "Softmax", (6,), 6),
    ]


def test_unknown_layers_get_near_misses(tmp_path, weights):
    path = write_vgg16(tmp_path / "m.onnx", weights, layers=LAYERS, input_shape=("n", 3, *SIDES))
    with pytest.raises(InputError, match=r"has no layer '/conv3'; did you mean '/conv\d'\? it has conv1_sum, /conv1,"):
        network(path, ["/conv3"])


def graph(tmp_path, nodes, inputs, stored=(), outputs=("y",)):
    made = helper.make_graph(
        nodes, "g", inputs, [onnx.ValueInfoProto(name=name) for name in outputs], initializer=list(stored)
    )
    path = tmp_path / "g.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def image(*shape, name="x", kind=onnx.TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, list(shape))


def test_attention_maps_and_tokens_keep_their_order(tmp_path):
    shape = onnx.numpy_helper.from_array(np.array([0, 3, 20], np.int64), "shape")
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("Unsqueeze", ["tokens", "one"], ["y"]),
    ]
    one = onnx.numpy_helper.from_array(np.array([1], np.int64), "one")
    path = graph(tmp_path, nodes, [image("n", 3, 4, 5)], [shape, one])
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    found = network(path, ["tokens", "y"]).activations(images)
    np.testing.assert_array_equal(found["tokens"], images.reshape(2, 20, 3))
    assert found["y"].shape == (2, 1, 20, 3)


@pytest.mark.parametrize("operation", ["Abs", "Floor", "LogSoftmax", "Reciprocal"])
def test_operations_by_element_keep_maps_with_their_channels_last(tmp_path, operation):
    path = graph(tmp_path, [helper.make_node(operation, ["x"], ["y"])], [image("n", 3, 4, 5)])
    assert layer_shapes(resolve_network(str(path), layers=["y"]))["y"] == (4, 5, 3)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([image("n", 3, 4, 5), image("n", 3, 4, 5, name="z")], r"has 2 inputs \(x, z\): export it"),
        ([image("n", 1, 4, 5)], r"takes inputs of shape \(any, 1, 4, 5\), expected three channels second or last"),
        ([image("n", 3)], r"takes inputs of shape \(any, 3\)"),
        ([image("n", 3, 4, 5, kind=onnx.TensorProto.INT64)], "takes int64 inputs, expected float32"),
    ],
)
def test_graphs_that_take_no_single_image_are_refused(tmp_path, inputs, said):
    path = graph(tmp_path, [helper.make_node("Identity", ["x"], ["y"])], inputs)
    with pytest.raises(InputError, match=said):
        network(path, ["y"])


def test_an_output_without_an_axis_of_images_is_refused(tmp_path):
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=0)]
    path = graph(tmp_path, nodes, [image("n", 3, 4, 5)])
    with pytest.raises(InputError, match=r"layer 'y' has outputs of shape"):
        network(path, ["y"]).activations(np.zeros((2, 4, 5, 3), np.uint8))
    with pytest.raises(InputError, match=r"layer 'y' has outputs of shape \(\), whose size is not fixed"):
        layer_shapes(resolve_network(str(path), layers=["y"]))


def test_bytes_and_half_precision_are_taken(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    for kind in (onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT16):
        nodes = [helper.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.FLOAT)]
        path = graph(tmp_path, nodes, [image("n", 4, 5, 3, kind=kind)])
        found = network(path, ["y"]).activations(images)["y"]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, images)


def test_a_graph_that_the_runtime_cannot_run_is_named_in_one_sentence(tmp_path):
    path = graph(tmp_path, [helper.make_node("Nonsense", ["x"], ["y"])], [image("n", 3, 4, 5)])
    with pytest.raises(InputError, match=r"g\.onnx' cannot be run by ONNX Runtime .*Nonsense") as caught:
        network(path, ["y"])
    assert "\n" not in str(caught.value)


def test_lower_precision_is_refused(tmp_path, weights):
    path = write_vgg16(tmp_path / "m.onnx", weights, layers=LAYERS, input_shape=("n", 3, *SIDES))
    with pytest.raises(InputError, match="precision 'bfloat16': an ONNX file has the types that it was exported with"):
        network(path, ["/fc"], precision="bfloat16")


def test_raw_input_to_a_file_is_a_doubt(tmp_path, weights):
    path = str(write_vgg16(tmp_path / "m.onnx", weights, layers=LAYERS, input_shape=("n", 3, *SIDES)))
    (doubt,) = resolve_network(path, layers=["/fc"]).doubts()
    assert doubt.startswith("an ONNX file does not say how its images are to be prepared")
    assert not resolve_network(path, layers=["/fc"], preprocessing={"mean": 100}).doubts()


def test_threads_of_the_session_are_those_of_the_worker(tmp_path, weights):
    path = write_vgg16(tmp_path / "m.onnx", weights, layers=LAYERS, input_shape=("n", 3, *SIDES))
    session = network(path, ["/fc"])._backend._session
    assert session.get_session_options().intra_op_num_threads == 1
    assert session.get_session_options().inter_op_num_threads == 1


WITHOUT_TENSORFLOW = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "torch", "timm", "jax"):
            raise ImportError(f"{name} is refused")
sys.meta_path.insert(0, Refuse())
from distspc.pipeline.run import Study
if __name__ == "__main__":
    study = Study.from_file(sys.argv[1])
    study.run()
    assert not {"tensorflow", "keras", "torch", "timm", "jax"} & set(sys.modules)
"""


def test_a_whole_study_needs_no_tensorflow(tmp_path, weights):
    write_vgg16(tmp_path / "m.onnx", weights, layers=LAYERS, input_shape=("n", 3, *SIDES))
    (tmp_path / "T").mkdir()
    rng = np.random.default_rng(0)
    for i in range(1, 8):
        PIL.Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(tmp_path / f"T/{i}.png")
    (tmp_path / "study.yaml").write_text(
        "store: s.zarr\nimages: {targets: T}\nmodel: {weights: m.onnx}\nlayers: [/pool, node/fc]\n"
        "reconstruction: {units: 8, codewords: 4, batches: 3, batch-size: 4}\n"
    )
    (tmp_path / "light.py").write_text(WITHOUT_TENSORFLOW)
    done = subprocess.run(
        [sys.executable, tmp_path / "light.py", tmp_path / "study.yaml"],
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "report.html").stat().st_size > 10_000
    from distspc.results.tidy import tidy_table

    table = tidy_table(tmp_path / "s.zarr")
    assert set(table["layer"]) == {"/pool", "node/fc"}
    assert table["distinctiveness"].gt(0).all()
    assert table["reconstruction_error"].gt(0).all()


def test_a_gpu_is_used_where_the_runtime_has_one_with_float32_as_it_is(tmp_path, weights, monkeypatch):
    import onnxruntime

    from distspc.extraction.backends.onnx import _open_session
    from distspc.extraction.files.onnx_files import read_model

    path = write_vgg16(tmp_path / "m.onnx", weights, layers=LAYERS, input_shape=("n", 3, *SIDES))
    asked = []
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, providers: asked.extend(providers))
    _open_session(read_model(str(path)), str(path), 1)
    assert asked == [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]
