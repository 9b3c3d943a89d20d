"""Tests of `distspc.extraction.backends.keras`."""

import functools
import hashlib
import importlib.util
import json
import os
import pickle
import zipfile

import h5py
import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.backends import keras as backend
from distspc.extraction.backends import keras_runtime
from distspc.extraction.network import Network, layer_shapes, list_layers, load_network
from distspc.extraction.network_spec import resolve_network
from distspc.layers import LAYERS, VGG16_LAYERS
from tests.extraction.shared import WIDTHS, assert_close, write_legacy

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow, the default backend, is not installed"
)


@functools.lru_cache(maxsize=1)
def small_network():
    return Network(resolve_network("random", layers=("block1_conv2", "block1_pool")), 2)


@needs_tensorflow
def test_batch_size_changes_no_value_by_more_than_rounding(network_photographs, expected_activations):
    pairs = np.concatenate([network_photographs, network_photographs[::-1], network_photographs[:1]])
    whole = small_network().activations(pairs)["block1_pool"]
    single = np.concatenate([small_network().activations(one[None])["block1_pool"] for one in pairs])
    assert_close(whole, single)
    assert_close(whole[:2], expected_activations["block1_pool"])


@needs_tensorflow
def test_the_network_is_cut_at_the_deepest_requested_layer_and_is_not_pickled():
    names = [layer.name for layer in small_network()._backend._model.layers]
    assert names == ["image", "block1_conv1", "block1_conv2", "block1_pool"]
    with pytest.raises(TypeError, match="send its NetworkSpec"):
        pickle.dumps(small_network())
    recipe = resolve_network("random", layers=("block1_pool",))
    assert load_network(pickle.loads(pickle.dumps(recipe)), 2) is load_network(recipe, 2)


@pytest.mark.parametrize("layer", VGG16_LAYERS)
def test_shapes_of_all_layers_are_known_without_keras(layer):
    shape = layer_shapes(resolve_network("random", layers=[layer]))[layer]
    if layer in LAYERS:
        assert shape == LAYERS[layer].shape
    elif layer.startswith("block"):
        block = int(layer[5])
        assert shape == (224 >> (block - 1), 224 >> (block - 1), WIDTHS[block][0])
    else:
        assert shape == {"flatten": (25088,), "predictions": (1365,)}[layer]


@needs_tensorflow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_is_close(precision, network_photographs, expected_activations):
    recipe = resolve_network("random", layers=("block1_pool",), precision=precision)
    found = Network(recipe).activations(network_photographs)["block1_pool"]
    assert found.dtype.name == precision
    wanted = expected_activations["block1_pool"]
    assert 0 < np.abs(found.astype(np.float32) - wanted).max() < 0.02 * wanted.max()


@needs_tensorflow
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("old_names", [False, True])
def test_a_keras_2_weight_file_loads_by_layer_name(tmp_path, legacy_content, network_photographs, nested, old_names):
    path = write_legacy(tmp_path / "w.h5", legacy_content, nested=nested, old_names=old_names)
    recipe = resolve_network(str(path), layers=("block1_conv1", "block1_pool"))
    assert recipe.digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    found = Network(recipe).activations(network_photographs)
    x = network_photographs[0].astype(np.float32)
    for i in (1, 2):
        kernel, bias = legacy_content[f"block1_conv{i}"]
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        x = sum(padded[r : r + 224, c : c + 224] @ kernel[r, c] for r in range(3) for c in range(3))
        x = np.maximum(x + bias, 0)
        if i == 1:
            assert_close(found["block1_conv1"][0], x)
    x = np.maximum.reduce([x[r::2, c::2] for r in (0, 1) for c in (0, 1)])
    assert_close(found["block1_pool"][0], x)


@needs_tensorflow
def test_the_whole_hybrid1365_format_loads_and_its_top_has_1365_classes(tmp_path, legacy_content, network_photographs):
    path = write_legacy(tmp_path / "vgg16-hybrid1365.h5", legacy_content)
    recipe = resolve_network(str(path), layers=("fc2", "predictions"))
    assert layer_shapes(recipe) == {"fc2": (4096,), "predictions": (1365,)}
    found = Network(recipe).activations(network_photographs[:1])
    assert found["fc2"].shape == (1, 4096)
    np.testing.assert_allclose(found["predictions"], 1 / 1365, rtol=1e-5)  # its weights are zeros in this file


@needs_tensorflow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"block1_conv2": None}, "lack block1_conv2; they have .*block1_conv1"),
        (
            {"block1_conv1": ((3, 3, 3, 32), (32,))},
            r"'block1_conv1' has shapes \[\(3, 3, 3, 32\), \(32,\)\], expected",
        ),
        ({"block1_conv1": ((3, 3, 3, 64),)}, r"layer 'block1_conv1' has shapes \[\(3, 3, 3, 64\)\], expected"),
        ({"block1_conv1": (np.zeros((3, 3, 3, 64), "i4"), (64,))}, "does not hold floating-point numbers"),
        ({"block1_conv1": (np.full((3, 3, 3, 64), np.nan, "f4"), (64,))}, "layer 'block1_conv1' holds NaN"),
    ],
)
def test_wrong_weight_files_are_refused_by_layer(tmp_path, legacy_content, change, said):
    content = {k: v for k, v in {**legacy_content, **change}.items() if v is not None}
    path = write_legacy(tmp_path / "w.h5", content)
    recipe = resolve_network(str(path), layers=("block1_pool",))
    with pytest.raises(InputError, match=said):
        Network(recipe)


@needs_tensorflow
def test_a_weight_file_that_changed_before_the_worker_reads_it_is_refused(tmp_path, legacy_content):
    path = write_legacy(tmp_path / "w.h5", legacy_content)
    recipe = resolve_network(str(path), layers=("block1_pool",))
    with h5py.File(path, "r+") as file:
        file["block1_conv1/block1_conv1/bias:0"][0] = 9
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match=r"have digest sha256:.*, expected sha256:"):
        Network(recipe)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_whole_model_gives_any_of_its_layers(tmp_path, small_model, suffix, precision):
    path = tmp_path / f"model.{suffix}"
    small_model.save(path)
    recipe = resolve_network(str(path), layers=("flat", "edges"), precision=precision)
    assert layer_shapes(recipe) == {"flat": (192,), "edges": (6, 8, 4)}
    net = Network(recipe)
    assert net.input_size == (8, 10)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 10, 3)).astype(np.uint8)
    found = net.activations(images)
    kernel, bias = small_model.get_layer("edges").get_weights()
    windows = np.lib.stride_tricks.sliding_window_view(images.astype(np.float32), (3, 3), axis=(1, 2))
    wanted = np.einsum("nrcdij,ijdk->nrck", windows, kernel) + bias
    tolerance = {"float32": 1e-5, "bfloat16": 2e-2}[precision] * np.abs(wanted).max()
    np.testing.assert_allclose(found["edges"].astype(np.float32), wanted, atol=tolerance)
    np.testing.assert_allclose(found["flat"].astype(np.float32), np.maximum(wanted, 0).reshape(3, -1), atol=tolerance)
    with pytest.raises(InputError, match=r"has no layer 'fc2'; it has .*edges, rectified, flat, top"):
        layer_shapes(resolve_network(str(path), layers=("fc2",)))


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_lambda_layer_runs_no_code(tmp_path, small_model, suffix):
    import keras

    trace = tmp_path / "ran"
    harm = keras.layers.Lambda(lambda x, _file=str(trace): (open(_file, "w").close(), x)[1], output_shape=(8, 10, 3))
    inputs = keras.Input((8, 10, 3))
    path = tmp_path / f"model.{suffix}"
    keras.Model(inputs, keras.layers.Flatten(name="flat")(harm(inputs))).save(path)
    trace.unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"holds code .*, which is never run"):
        layer_shapes(resolve_network(str(path), layers=("flat",)))
    assert not trace.exists()


@needs_tensorflow
def test_names_from_keras_applications_work_with_random_weights():
    recipe = resolve_network("mobilenetv2:random", layers=("Conv1_relu",))
    assert layer_shapes(recipe) == {"Conv1_relu": (112, 112, 32)}
    found = Network(recipe).activations(np.full((1, 224, 224, 3), 100, np.uint8))["Conv1_relu"]
    assert found.shape == (1, 112, 112, 32)
    with pytest.raises(InputError, match=r"weights 'best': expected .*available: .*resnet50"):
        layer_shapes(resolve_network("best", layers=("fc2",)))


@needs_tensorflow
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([(8, 8, 3), (8, 8, 3)], "has 2 inputs, expected one image"),
        ([(8, 8, 1)], r"takes inputs of shape \(8, 8, 1\)"),
    ],
)
def test_models_that_take_no_single_image_are_refused(tmp_path, small_model, inputs, said):
    import keras

    given = [keras.Input(shape) for shape in inputs]
    x = keras.layers.Concatenate()(given) if len(given) > 1 else given[0]
    keras.Model(given, keras.layers.Flatten(name="flat")(x)).save(tmp_path / "m.keras")
    with pytest.raises(InputError, match=said):
        Network(resolve_network(str(tmp_path / "m.keras"), layers=("flat",)))


OWN = {
    "DenseNet121": (-1.9466565, -1.6855742, 2.64),
    "InceptionV3": (10 / 127.5 - 1, 20 / 127.5 - 1, 1.0),
    "InceptionResNetV2": (10 / 127.5 - 1, 20 / 127.5 - 1, 1.0),
    "MobileNet": (10 / 127.5 - 1, 20 / 127.5 - 1, 1.0),
    "MobileNetV2": (10 / 127.5 - 1, 20 / 127.5 - 1, 1.0),
    "NASNetMobile": (10 / 127.5 - 1, 20 / 127.5 - 1, 1.0),
    "ResNet50V2": (10 / 127.5 - 1, 20 / 127.5 - 1, 1.0),
    "Xception": (10 / 127.5 - 1, 20 / 127.5 - 1, 1.0),
    "ResNet50": (255 - 103.939, 20 - 116.779, 10 - 123.68),
    "VGG19": (255 - 103.939, 20 - 116.779, 10 - 123.68),
    "ConvNeXtTiny": (10, 20, 255),
    "EfficientNetB0": (10, 20, 255),
    "EfficientNetV2S": (10, 20, 255),
    "MobileNetV3Small": (10, 20, 255),
}


@needs_tensorflow
@pytest.mark.parametrize("name", OWN)
def test_auto_is_the_function_that_keras_has_beside_the_network(name):
    recipe = resolve_network(f"{name.lower()}:random", layers=("any",))
    assert recipe.described()["preprocessing"] == "auto"
    assert not recipe.doubts()
    found = backend.own_preprocessing(recipe)(np.array([[[[10, 20, 255]]]], np.uint8))
    np.testing.assert_allclose(found.ravel(), OWN[name], rtol=1e-5)
    raw = resolve_network(f"{name}:random", layers=("any",), preprocessing="raw").doubts()
    assert bool(raw) == (OWN[name] != (10, 20, 255))
    (doubt,) = resolve_network(name, layers=("any",), preprocessing="caffe").doubts()
    assert doubt.startswith(f"{name} was made for images as its own function")


@needs_tensorflow
def test_every_network_of_keras_that_wants_another_input_is_known_to():
    keras = keras_runtime.import_keras(2)
    pixel = np.array([[[[10, 20, 255]]]], np.uint8)
    for name in (n for n in dir(keras.applications) if n[0].isupper() and n != "VGG16"):
        own = backend.own_preprocessing(resolve_network(name, layers=("any",)))(pixel.copy())
        doubts = resolve_network(name, layers=("any",), preprocessing="raw").doubts()
        assert bool(doubts) == (not np.array_equal(own, pixel)), name


@needs_tensorflow
def test_a_network_of_keras_gets_its_own_input_from_end_to_end():
    images = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    net = Network(resolve_network("mobilenetv2:random", layers=("Conv1",)))
    kernel = net._backend._model.get_layer("Conv1").get_weights()[0]
    x = np.pad(images[0].astype(np.float64) / 127.5 - 1, ((0, 1), (0, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1))[::2, ::2]
    np.testing.assert_allclose(
        net.activations(images)["Conv1"][0], np.einsum("rcdij,ijdk->rck", windows, kernel), atol=1e-4
    )


def model_with_normalisation(keras, policy):
    """Every kind of state: kernels, moving averages, a preprocessing layer's mean, layers inside layers."""
    keras.utils.set_random_seed(1)
    with backend._float32(keras):
        keras.config.set_dtype_policy(policy)
        inputs = keras.Input((8, 10, 3))
        norm = keras.layers.Normalization(mean=(100.0, 110.0, 120.0), variance=(400.0, 500.0, 600.0), name="norm")
        x = keras.layers.Conv2D(4, 3, name="edges")(norm(inputs))
        x = keras.layers.BatchNormalization(name="bn")(x)
        x = keras.layers.Reshape((48, 4), name="tokens")(x)
        x = keras.layers.MultiHeadAttention(2, 3, name="attention")(x, x)
        return keras.Model(inputs, keras.layers.Dense(5, activation="gelu", name="top")(x))


@needs_tensorflow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_model_saved_under_mixed_precision_computes_in_float32(tmp_path, policy, suffix):
    keras = keras_runtime.import_keras(2)
    mixed = model_with_normalisation(keras, policy)
    twin = model_with_normalisation(keras, "float32")
    twin.set_weights(mixed.get_weights())
    found = {}
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 10, 3)).astype(np.uint8)
    for name, model in (("mixed", mixed), ("twin", twin)):
        model.save(tmp_path / f"{name}.{suffix}")
        recipe = resolve_network(str(tmp_path / f"{name}.{suffix}"), layers=("edges", "attention", "top"))
        found[name] = Network(recipe).activations(images)
    for layer, values in found["mixed"].items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, found["twin"][layer], rtol=1e-6, atol=1e-6)


@needs_tensorflow
def test_a_policy_of_the_process_does_not_leak_in(network_photographs, tmp_path, small_model):
    keras = keras_runtime.import_keras(2)
    small_model.save(tmp_path / "m.keras")
    file = resolve_network(str(tmp_path / "m.keras"), layers=("edges",))
    vgg16 = resolve_network("random", layers=("block1_conv1",))
    application = resolve_network("mobilenetv2:random", layers=("Conv1",))
    small = network_photographs[:1, :8, :10]
    wanted = [
        Network(r).activations(x)
        for r, x in ((file, small), (vgg16, network_photographs), (application, network_photographs))
    ]
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.set_floatx("float16")
    try:
        got = [
            Network(r).activations(x)
            for r, x in ((file, small), (vgg16, network_photographs), (application, network_photographs))
        ]
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert keras.config.floatx() == "float16"
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    for one, other in zip(got, wanted, strict=True):
        for layer in one:
            assert one[layer].dtype == np.float32
            np.testing.assert_allclose(one[layer], other[layer], rtol=1e-6, atol=1e-4)


@needs_tensorflow
def test_an_overflow_names_the_precision(tmp_path):
    keras = keras_runtime.import_keras(2)
    inputs = keras.Input((8, 10, 3))
    big = keras.layers.Conv2D(1, 3, kernel_initializer=keras.initializers.Constant(100.0), name="big")(inputs)
    keras.Model(inputs, big).save(tmp_path / "m.keras")
    images = np.full((1, 8, 10, 3), 255, np.uint8)
    recipe = resolve_network(str(tmp_path / "m.keras"), layers=("big",), precision="float16")
    with pytest.raises(InputError, match="activations of big are not finite when computed in float16; set `precision"):
        Network(recipe).activations(images)


@needs_tensorflow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_keras_2_models_with_groups_and_slashes_load(tmp_path):
    keras = keras_runtime.import_keras(2)
    inputs = keras.Input((8, 10, 3))
    x = keras.layers.DepthwiseConv2D(3, name="block_depthwise")(inputs)
    keras.Model(inputs, keras.layers.ReLU(name="block_relu")(x)).save(tmp_path / "new.h5")
    (tmp_path / "old.h5").write_bytes((tmp_path / "new.h5").read_bytes())
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        text = json.dumps(config).replace("block_", "block/")
        text = text.replace('"depth_multiplier"', '"groups": 1, "depth_multiplier"')
        assert '"groups": 1' in text
        file.attrs["model_config"] = text
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 10, 3)).astype(np.uint8)
    layers = ("block_depthwise", "block_relu")
    new, old = (
        Network(resolve_network(str(tmp_path / name), layers=layers)).activations(images)
        for name in ("new.h5", "old.h5")
    )
    for layer in layers:
        np.testing.assert_array_equal(old[layer], new[layer])


@needs_tensorflow
def test_a_model_that_keras_cannot_use_is_named_in_one_sentence(tmp_path, small_model):
    small_model.save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as archive, zipfile.ZipFile(tmp_path / "m.keras", "w") as bad:
        for name in archive.namelist():
            content = archive.read(name)
            bad.writestr(name, content.replace(b'"filters"', b'"philters"') if name == "config.json" else content)
    with pytest.raises(InputError, match=r"cannot be loaded .*Save it as \.keras with a recent Keras 3") as caught:
        layer_shapes(resolve_network(str(tmp_path / "m.keras"), layers=("edges",)))
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


@needs_tensorflow
def test_weights_without_dense_layers_serve_the_blocks_and_fc1_is_named(tmp_path, legacy_content, network_photographs):
    path = write_legacy(tmp_path / "no.h5", {k: v for k, v in legacy_content.items() if k.startswith("block")})
    blocks = tuple(f"block{i}_pool" for i in range(1, 6))
    found = Network(resolve_network(str(path), layers=blocks)).activations(network_photographs[:1])
    assert {layer: found[layer].shape[1:] for layer in blocks} == {layer: LAYERS[layer].shape for layer in blocks}
    with pytest.raises(InputError, match="lack fc1; they have"):
        Network(resolve_network(str(path), layers=("fc1",)))


# ---------------------------------------------------------------- models inside models


def transfer_learning(keras, kind):
    """A network inside another, as transfer learning makes them, and its parts."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 10, 3), name="in")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="edges")(inputs)
    side = keras.layers.Conv2D(4, 1, name="side")(x)
    inner = keras.Model(inputs, keras.layers.Add(name="sum")([x, side]), name="backbone")
    middle = keras.Sequential([keras.layers.Rescaling(1 / 255, name="scaled"), inner], name="middle")
    if kind == "sequential":
        return keras.Sequential(
            [keras.Input((8, 10, 3)), middle, keras.layers.Flatten(), keras.layers.Dense(3, name="top")]
        )
    image = keras.Input((8, 10, 3))
    hidden = keras.layers.Flatten(name="flat")(middle(keras.layers.RandomFlip(name="flip")(image)))
    outputs = [keras.layers.Dense(3, name="top")(hidden), keras.layers.Dense(2, name="other")(hidden)]
    return keras.Model(image, outputs)


@needs_tensorflow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("kind", ["sequential", "two outputs"])
def test_layers_of_inner_models_are_addressed_by_path(tmp_path, kind, suffix):
    keras = keras_runtime.import_keras(2)
    model = transfer_learning(keras, kind)
    model.save(tmp_path / f"m.{suffix}")
    layers = ("middle/backbone/edges", "middle/backbone", "middle", "middle/backbone/sum", "middle/scaled", "top")
    spec = resolve_network(str(tmp_path / f"m.{suffix}"), layers=layers)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 10, 3)).astype(np.uint8)
    found = Network(spec).activations(images)
    backbone = model.get_layer("middle").get_layer("backbone")
    kernel, bias = backbone.get_layer("edges").get_weights()
    windows = np.lib.stride_tricks.sliding_window_view(images.astype(np.float32) / 255, (3, 3), axis=(1, 2))
    edges = np.maximum(np.einsum("nrcdij,ijdk->nrck", windows, kernel) + bias, 0)
    weights, offset = backbone.get_layer("side").get_weights()
    total = edges + edges @ weights[0, 0] + offset
    np.testing.assert_allclose(found["middle/scaled"], images / np.float32(255), rtol=1e-6)
    np.testing.assert_allclose(found["middle/backbone/edges"], edges, atol=1e-5)
    for name in ("middle/backbone", "middle", "middle/backbone/sum"):
        np.testing.assert_allclose(found[name], total, atol=1e-5)
    top, shift = model.get_layer("top").get_weights()
    np.testing.assert_allclose(found["top"], total.reshape(2, -1) @ top + shift, atol=1e-4)
    assert layer_shapes(spec) == {layer: found[layer].shape[1:] for layer in layers}
    listed = {one.name: one for one in list_layers(spec)}
    assert listed["middle/backbone/edges"].shape == (6, 8, 4)
    assert listed["middle/backbone/edges"].kind == "Conv2D"
    with pytest.raises(InputError, match=r"no layer 'backbone/edges'; did you mean 'middle/backbone/edges'\?"):
        layer_shapes(resolve_network(str(tmp_path / f"m.{suffix}"), layers=("backbone/edges",)))


@needs_tensorflow
def test_a_layer_that_is_used_twice_is_named(tmp_path):
    keras = keras_runtime.import_keras(2)
    inputs = keras.Input((8, 10, 3))
    twice = keras.layers.Conv2D(3, 1, name="twice")
    once = keras.layers.Flatten(name="flat")(twice(twice(inputs)))
    keras.Model(inputs, once).save(tmp_path / "m.keras")
    with pytest.raises(InputError, match="layer 'twice' is used more than once in the model"):
        layer_shapes(resolve_network(str(tmp_path / "m.keras"), layers=("twice", "flat")))
    assert layer_shapes(resolve_network(str(tmp_path / "m.keras"), layers=("flat",))) == {"flat": (240,)}


@needs_tensorflow
def test_keras_3_weights_without_a_model_are_named_in_one_sentence(tmp_path, small_model):
    small_model.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(InputError, match=r"a \.weights\.h5 of Keras 3 comes without its model: save that"):
        resolve_network(str(tmp_path / "m.weights.h5"), layers=("edges",))


@needs_tensorflow
def test_the_size_of_an_open_input_may_be_stated_and_that_of_a_fixed_one_not(tmp_path, small_model):
    keras = keras_runtime.import_keras(2)
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="mean")(inputs)).save(tmp_path / "open.keras")
    steps = {"size": [30, 40]}
    spec = resolve_network(str(tmp_path / "open.keras"), layers=("mean",), preprocessing=steps)
    assert Network(spec).input_size == (30, 40)
    assert Network(resolve_network(str(tmp_path / "open.keras"), layers=("mean",))).input_size == (224, 224)
    small_model.save(tmp_path / "fixed.keras")
    with pytest.raises(InputError, match="size 30 x 40: the network takes 8 x 10"):
        Network(resolve_network(str(tmp_path / "fixed.keras"), layers=("edges",), preprocessing=steps))
