import functools
import hashlib
import http.server
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import threading
import zipfile

import h5py
import numpy as np
import pytest
import skimage.data

from distspc.errors import InputError
from distspc.extraction import backend, network, weights
from distspc.extraction.network import Network, layer_shapes, load_network
from distspc.extraction.network_spec import resolve_network
from distspc.images.decoding import resize_image
from distspc.layers import LAYERS, VGG16_LAYERS

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

ALL = tuple(LAYERS)
WIDTHS = {1: (64, 64), 2: (128, 128), 3: (256,) * 3, 4: (512,) * 3, 5: (512,) * 3}


@pytest.fixture(scope="module")
def photographs():
    return np.stack([resize_image(image[:256, :256]) for image in (skimage.data.astronaut(), skimage.data.coffee())])


def vgg16_weights(n_classes=1365, *, seed=0, draw=True):
    """Kernels and biases of VGG-16 by layer, in the order of the network."""
    found, n_in = {}, 3
    shapes = {f"block{b}_conv{i + 1}": (3, 3, 0, width) for b, ws in WIDTHS.items() for i, width in enumerate(ws)}
    shapes.update(fc1=(25088, 4096), fc2=(4096, 4096), predictions=(4096, n_classes))
    for name, shape in shapes.items():
        shape = (3, 3, n_in, shape[-1]) if len(shape) == 4 else shape
        n_in = shape[-1]
        fan_in = int(np.prod(shape[:-1]))
        kernel = network.random_kernel(shape, fan_in, seed=seed, name=name) if draw else np.zeros(shape, np.float32)
        found[name] = (kernel, np.zeros(shape[-1], np.float32))
    return found


def vgg16_by_hand(image, w):
    """VGG-16 written out: 3 x 3 convolutions with zeros around, ReLU, 2 x 2 maxima, dense layers. One image."""
    found = {}
    x = image.astype(np.float32)
    for block, widths in WIDTHS.items():
        for i in range(len(widths)):
            kernel, bias = w[f"block{block}_conv{i + 1}"]
            padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
            x = sum(padded[r : r + x.shape[0], c : c + x.shape[1]] @ kernel[r, c] for r in range(3) for c in range(3))
            x = np.maximum(x + bias, 0)
        x = np.maximum.reduce([x[r::2, c::2] for r in (0, 1) for c in (0, 1)])
        found[f"block{block}_pool"] = x
    x = x.reshape(-1)
    for layer in ("fc1", "fc2"):
        x = np.maximum(x @ w[layer][0] + w[layer][1], 0)
        found[layer] = x
    return found


@pytest.fixture(scope="module")
def expected(photographs):
    w = vgg16_weights()
    each = [vgg16_by_hand(image, w) for image in photographs]
    return {layer: np.stack([one[layer] for one in each]) for layer in ALL}


def assert_close(found, wanted):
    """Equal to within float32 rounding of a long sum."""
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-5 * float(np.abs(wanted).max()))


# ---------------------------------------------------------------- VGG-16

EXTRACT = """
import sys
import numpy as np
from distspc.extraction.network import load_network
from distspc.extraction.network_spec import resolve_network
recipe = resolve_network("random", layers={layers!r})
np.savez(sys.argv[2], **load_network(recipe, 2).activations(np.load(sys.argv[1])))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_all_seven_layers_in_one_pass_equal_the_network_by_hand(backend, photographs, expected, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"Keras backend {backend} is not installed")
    np.save(tmp_path / "in.npy", photographs)
    subprocess.run(
        [sys.executable, "-c", EXTRACT.format(layers=ALL), tmp_path / "in.npy", tmp_path / "out.npz"],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
        timeout=300,
    )
    with np.load(tmp_path / "out.npz") as found:
        assert set(found.files) == set(ALL)
        for layer in ALL:
            assert found[layer].shape == (2, *LAYERS[layer].shape)
            assert_close(found[layer], expected[layer])


needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow, the default backend, is not installed"
)


@functools.lru_cache(maxsize=1)
def small_network():
    return Network(resolve_network("random", layers=("block1_conv2", "block1_pool")), 2)


@needs_tensorflow
def test_batch_size_changes_no_value_by_more_than_rounding(photographs, expected):
    pairs = np.concatenate([photographs, photographs[::-1], photographs[:1]])
    whole = small_network().activations(pairs)["block1_pool"]
    single = np.concatenate([small_network().activations(one[None])["block1_pool"] for one in pairs])
    assert_close(whole, single)
    assert_close(whole[:2], expected["block1_pool"])


@needs_tensorflow
def test_the_network_is_cut_at_the_deepest_asked_layer_and_is_not_pickled():
    names = [layer.name for layer in small_network()._model.layers]
    assert names == ["image", "block1_conv1", "block1_conv2", "block1_pool"]
    with pytest.raises(TypeError, match="send its Recipe"):
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
def test_lower_precision_is_close(precision, photographs, expected):
    recipe = resolve_network("random", layers=("block1_pool",), precision=precision)
    found = Network(recipe).activations(photographs)["block1_pool"]
    assert found.dtype.name == precision
    wanted = expected["block1_pool"]
    assert 0 < np.abs(found.astype(np.float32) - wanted).max() < 0.02 * wanted.max()


def test_preprocessing():
    image = np.array([[[[10, 20, 255]]]], dtype=np.uint8)
    assert network.preprocess(image).tolist() == [[[[10.0, 20.0, 255.0]]]]
    found = network.preprocess(image, "caffe")
    np.testing.assert_allclose(found, [[[[255 - 104.006, 20 - 116.669, 10 - 122.679]]]], rtol=1e-6)
    assert found.dtype == np.float32


def test_random_kernels_depend_on_seed_and_name_alone_and_keep_the_scale():
    draw = functools.partial(network.random_kernel, (3, 3, 64, 64), 576)
    kernel = draw(seed=0, name="a")
    np.testing.assert_array_equal(kernel, draw(seed=0, name="a"))
    assert not np.array_equal(kernel, draw(seed=1, name="a"))
    assert not np.array_equal(kernel, draw(seed=0, name="b"))
    assert kernel.var() == pytest.approx(2 / 576, rel=0.05)
    assert kernel.dtype == np.float32


# ---------------------------------------------------------------- weight files


def write_legacy(path, content, *, nested=False, old_names=False):
    """Write weights as Keras 2 did: names as byte strings in attributes, one group a layer, empty ones included.

    Arrays given as shapes take no room in the file: HDF5 fills them with zeros when they are read.
    """
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if nested else file
        order = ["input_1", *(name for name in content)]
        for at, name in (("block1_conv2", "block1_pool"), ("block5_conv3", "block5_pool")):
            if at in order:
                order.insert(order.index(at) + 1, name)
        group.attrs["layer_names"] = np.array([name.encode() for name in order])
        group.attrs["backend"] = b"tensorflow"
        group.attrs["keras_version"] = b"2.0.6"
        for layer in order:
            inner = group.create_group(layer)
            arrays = content.get(layer, ())
            ends = ("_W_1:0", "_b_1:0") if old_names else ("/kernel:0", "/bias:0")
            names = [f"{layer}{end}" for end in ends[: len(arrays)]]
            inner.attrs["weight_names"] = np.array([name.encode() for name in names]) if names else np.zeros(0)
            for name, values in zip(names, arrays, strict=True):
                if isinstance(values, tuple):
                    inner.create_dataset(name, shape=values, dtype="f4")
                else:
                    inner.create_dataset(name, data=values)
    return path


def shapes_only(content):
    return {layer: tuple(a.shape for a in arrays) for layer, arrays in content.items()}


@pytest.fixture(scope="module")
def legacy_content():
    """The first block with numbers, all else as shapes."""
    rng = np.random.default_rng(5)
    content = {}
    for name, (kernel, bias) in LEGACY_SHAPES.items():
        small = name.startswith("block1")
        content[name] = (
            (rng.normal(size=kernel).astype("f4"), rng.normal(size=bias).astype("f4")) if small else (kernel, bias)
        )
    return content


def _legacy_shapes():
    found, n_in = {}, 3
    for block, widths in WIDTHS.items():
        for i, width in enumerate(widths):
            found[f"block{block}_conv{i + 1}"] = ((3, 3, n_in, width), (width,))
            n_in = width
    dense = {"fc1": (25088, 4096), "fc2": (4096, 4096), "predictions": (4096, 1365)}
    return {**found, **{name: (shape, shape[1:]) for name, shape in dense.items()}}


LEGACY_SHAPES = _legacy_shapes()


@needs_tensorflow
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("old_names", [False, True])
def test_a_keras_2_weight_file_loads_by_layer_name(tmp_path, legacy_content, photographs, nested, old_names):
    path = write_legacy(tmp_path / "w.h5", legacy_content, nested=nested, old_names=old_names)
    recipe = resolve_network(str(path), layers=("block1_conv1", "block1_pool"))
    assert recipe.digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    found = Network(recipe).activations(photographs)
    x = photographs[0].astype(np.float32)
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
def test_the_whole_hybrid1365_format_loads_and_its_top_has_1365_classes(tmp_path, legacy_content, photographs):
    path = write_legacy(tmp_path / "vgg16-hybrid1365.h5", legacy_content)
    recipe = resolve_network(str(path), layers=("fc2", "predictions"))
    assert layer_shapes(recipe) == {"fc2": (4096,), "predictions": (1365,)}
    found = Network(recipe).activations(photographs[:1])
    assert found["fc2"].shape == (1, 4096)
    np.testing.assert_allclose(found["predictions"], 1 / 1365, rtol=1e-5)  # its weights are zeros in this file


@needs_tensorflow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"block1_conv2": None}, "lack block1_conv2; they have .*block1_conv1"),
        (
            {"block1_conv1": ((3, 3, 3, 32), (32,))},
            r"'block1_conv1' has shapes \[\(3, 3, 3, 32\), \(32,\)\], wanted",
        ),
        ({"block1_conv1": ((3, 3, 3, 64),)}, r"layer 'block1_conv1' has shapes \[\(3, 3, 3, 64\)\], wanted"),
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


def test_layers_below_the_cut_need_not_be_there(tmp_path, legacy_content):
    path = write_legacy(tmp_path / "notop.h5", {k: v for k, v in legacy_content.items() if k.startswith("block")})
    shapes = {"block1_conv1": [(3, 3, 3, 64), (64,)]}
    ((name, values),) = weights.read_weights(path, shapes)
    assert name == "block1_conv1"
    np.testing.assert_array_equal(values[0], legacy_content["block1_conv1"][0])


def test_names_split_over_several_attributes_are_joined(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"a"], [b"b"]
        for name in "ab":
            file.create_group(name).attrs["weight_names0"] = [b"k"]
            file[name]["k"] = np.ones(2, np.float32)
    assert [n for n, _ in weights.read_weights(tmp_path / "w.h5", {"a": [(2,)], "b": [(2,)]})] == ["a", "b"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_truncated_weight_files_are_refused(tmp_path, legacy_content, share):
    path = write_legacy(tmp_path / "w.h5", {k: v for k, v in legacy_content.items() if k.startswith("block1")})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"w\.h5' are not a whole HDF5 or \.keras file"):
        resolve_network(str(path), layers=("block1_pool",))


def test_a_file_without_layer_names_is_refused(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layers/conv/vars/0"] = np.zeros(3)
    with pytest.raises(InputError, match=r"do not name their layers .* wanted is a Keras-2 weight file"):
        resolve_network(str(tmp_path / "w.h5"), layers=("block1_pool",))


@needs_tensorflow
def test_a_weight_file_that_changed_before_the_worker_reads_it_is_refused(tmp_path, legacy_content):
    path = write_legacy(tmp_path / "w.h5", legacy_content)
    recipe = resolve_network(str(path), layers=("block1_pool",))
    with h5py.File(path, "r+") as file:
        file["block1_conv1/block1_conv1/bias:0"][0] = 9
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match=r"have digest sha256:.*, wanted is sha256:"):
        Network(recipe)


# ---------------------------------------------------------------- which network


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weights": "best"}, None),
        ({"weights": "no such name"}, "wanted is hybrid1365, imagenet, random, a path"),
        ({"weights": "resnet50:big"}, "weights of resnet50 'big' is not one of imagenet, random"),
        ({"weights": "nowhere/w.h5"}, r"nowhere/w\.h5': there is no such file"),
        ({"layers": []}, "no layers are asked for"),
        ({"layers": ["fc2", "fc9"]}, "has no layer 'fc9'; it has block1_conv1, .*predictions"),
        ({"preprocessing": "mean"}, "preprocessing 'mean' is not one of auto, raw, caffe"),
        ({"precision": "int8"}, "precision 'int8' is not one of float32, bfloat16, float16"),
    ],
)
def test_wrong_settings_name_what_is_allowed(settings, said):
    settings = {"weights": "random", "layers": ["fc2"], **settings}
    if said is None:
        assert resolve_network(**settings).architecture == "best"  # Keras is asked for it when it is built
        return
    with pytest.raises(InputError, match=said):
        resolve_network(**settings)


def test_choosing_loads_no_keras():
    code = (
        "import sys; from distspc.extraction.network import layer_shapes; "
        "from distspc.extraction.network_spec import resolve_network; "
        "layer_shapes(resolve_network('random', layers=['fc2']));"
        "assert not {'keras', 'tensorflow', 'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_seeds_and_settings_are_in_the_description_and_paths_are_not(tmp_path, legacy_content):
    path = write_legacy(tmp_path / "w.h5", {"block1_conv1": legacy_content["block1_conv1"]})
    told = resolve_network(str(path), layers=["fc2"], preprocessing="caffe").described()
    assert str(tmp_path) not in json.dumps(told)
    assert told["preprocessing"] == "caffe"
    assert resolve_network("random", layers=["fc2"], seed=3).described()["weights"].endswith(":3")


# ---------------------------------------------------------------- downloads


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def release(tmp_path, monkeypatch, legacy_content):
    """A server on this machine that offers a weight file, and an empty cache."""
    folder = tmp_path / "release"
    folder.mkdir()
    file = write_legacy(folder / "hybrid.h5", {"block1_conv1": legacy_content["block1_conv1"]})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/hybrid.h5"
    monkeypatch.setitem(weights.DOWNLOADS, "hybrid1365", (url, None))
    monkeypatch.setenv("DISTSPC_CACHE", str(tmp_path / "cache"))
    yield file
    server.shutdown()
    thread.join()
    server.server_close()


def test_weights_are_fetched_once_and_their_digest_is_kept(release, tmp_path):
    digest = "sha256:" + hashlib.sha256(release.read_bytes()).hexdigest()
    path, found = weights.fetch_weights("hybrid1365")
    assert (path, found) == (tmp_path / "cache" / "hybrid.h5", digest)
    release.unlink()
    assert weights.fetch_weights("hybrid1365", digest.removeprefix("sha256:")) == (path, digest)
    with pytest.raises(InputError, match="wanted is 0000"):
        weights.fetch_weights("hybrid1365", "0" * 64)
    path.write_bytes(b"other")
    with pytest.raises(InputError, match=f"have digest sha256:.*, wanted is {digest}: remove the file"):
        weights.fetch_weights("hybrid1365")


def test_a_pinned_digest_is_checked_at_the_first_download(release):
    with pytest.raises(InputError, match="wanted is 0000"):
        weights.fetch_weights("hybrid1365", "0" * 64)


def test_a_published_hash_is_checked(release, monkeypatch):
    url = weights.DOWNLOADS["hybrid1365"][0]
    monkeypatch.setitem(weights.DOWNLOADS, "hybrid1365", (url, "md5:" + "0" * 32))
    with pytest.raises(InputError, match="hash of downloaded file"):
        weights.fetch_weights("hybrid1365")


def test_without_a_network_the_error_says_which_file_goes_where(tmp_path, monkeypatch):
    monkeypatch.setitem(weights.DOWNLOADS, "hybrid1365", ("http://127.0.0.1:9/hybrid.h5", None))
    monkeypatch.setenv("DISTSPC_CACHE", str(tmp_path / "cache"))
    where = str(tmp_path / "cache" / "hybrid.h5")
    with pytest.raises(InputError, match=f"Download http://127.0.0.1:9/hybrid.h5 yourself and put it at '{where}'"):
        resolve_network("hybrid1365", layers=["fc2"])


# ---------------------------------------------------------------- any Keras model


@pytest.fixture(scope="module")
def small_model():
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow, the default backend, is not installed")
    keras = backend.import_keras(2)
    inputs = keras.Input((8, 10, 3))
    x = keras.layers.Conv2D(4, 3, name="edges")(inputs)
    x = keras.layers.ReLU(name="rectified")(x)
    outputs = keras.layers.Dense(5, name="top")(keras.layers.Flatten(name="flat")(x))
    return keras.Model(inputs, outputs)


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


def test_a_truncated_keras_file_is_refused(tmp_path, small_model):
    path = tmp_path / "model.keras"
    small_model.save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"model\.keras' are not a whole HDF5 or \.keras file"):
        resolve_network(str(path), layers=("edges",))


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


@pytest.mark.parametrize(
    "part", [{"class_name": "system", "module": "os"}, {"class_name": "Layer", "module": "mine", "config": {}}]
)
def test_foreign_classes_are_refused(tmp_path, part):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"module": "keras", "config": {"layers": [part]}}))
    with pytest.raises(InputError, match=f"holds code .*{part['module']}"):
        resolve_network(str(path), layers=("flat",))


@pytest.mark.parametrize("text", ["{", "[" * 200_000, ""])
def test_damaged_descriptions_are_refused(tmp_path, text):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", text)
    with pytest.raises(InputError, match=r"model '.*model\.keras' is damaged"):
        resolve_network(str(path), layers=("flat",))


@needs_tensorflow
def test_names_from_keras_applications_work_with_random_weights():
    recipe = resolve_network("mobilenetv2:random", layers=("Conv1_relu",))
    assert layer_shapes(recipe) == {"Conv1_relu": (112, 112, 32)}
    found = Network(recipe).activations(np.full((1, 224, 224, 3), 100, np.uint8))["Conv1_relu"]
    assert found.shape == (1, 112, 112, 32)
    with pytest.raises(InputError, match=r"weights 'best': wanted is .*known are .*resnet50"):
        layer_shapes(resolve_network("best", layers=("fc2",)))


@needs_tensorflow
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([(8, 8, 3), (8, 8, 3)], "has 2 inputs, wanted is one image"),
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


# ---------------------------------------------------------------- the network's own input, and precision

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
    found = network._own_function(recipe)(np.array([[[[10, 20, 255]]]], np.float32), data_format="channels_last")
    np.testing.assert_allclose(found.ravel(), OWN[name], rtol=1e-5)
    raw = resolve_network(f"{name}:random", layers=("any",), preprocessing="raw").doubts()
    assert bool(raw) == (OWN[name] != (10, 20, 255))
    (doubt,) = resolve_network(name, layers=("any",), preprocessing="caffe").doubts()
    assert doubt.startswith(f"{name} was made for images as its own function")


@needs_tensorflow
def test_every_network_of_keras_that_wants_another_input_is_known_to():
    keras = backend.import_keras(2)
    pixel = np.array([[[[10, 20, 255]]]], np.float32)
    for name in (n for n in dir(keras.applications) if n[0].isupper() and n != "VGG16"):
        own = network._own_function(resolve_network(name, layers=("any",)))(pixel.copy(), data_format="channels_last")
        doubts = resolve_network(name, layers=("any",), preprocessing="raw").doubts()
        assert bool(doubts) == (not np.array_equal(own, pixel)), name


@needs_tensorflow
def test_a_network_of_keras_gets_its_own_input_from_end_to_end():
    images = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    net = Network(resolve_network("mobilenetv2:random", layers=("Conv1",)))
    kernel = net._model.get_layer("Conv1").get_weights()[0]
    x = np.pad(images[0].astype(np.float64) / 127.5 - 1, ((0, 1), (0, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1))[::2, ::2]
    np.testing.assert_allclose(
        net.activations(images)["Conv1"][0], np.einsum("rcdij,ijdk->rck", windows, kernel), atol=1e-4
    )


@pytest.mark.parametrize("preprocessing", ["auto", "raw"])
@pytest.mark.parametrize("weights", ["random", "vgg16:random"])
def test_vgg16_keeps_the_raw_input_of_the_paper(weights, preprocessing):
    recipe = resolve_network(weights, layers=("fc2",), preprocessing=preprocessing)
    assert recipe.described() == resolve_network("random", layers=("fc2",), preprocessing="raw").described()
    assert recipe.preprocessing == "raw"
    assert not recipe.doubts()


def model_with_normalisation(keras, policy):
    """Every kind of state: kernels, moving averages, a preprocessing layer's mean, layers inside layers."""
    keras.utils.set_random_seed(1)
    with network._float32(keras):
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
    keras = backend.import_keras(2)
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
def test_a_policy_of_the_process_does_not_leak_in(photographs, tmp_path, small_model):
    keras = backend.import_keras(2)
    small_model.save(tmp_path / "m.keras")
    file = resolve_network(str(tmp_path / "m.keras"), layers=("edges",))
    vgg16 = resolve_network("random", layers=("block1_conv1",))
    application = resolve_network("mobilenetv2:random", layers=("Conv1",))
    small = photographs[:1, :8, :10]
    wanted = [Network(r).activations(x) for r, x in ((file, small), (vgg16, photographs), (application, photographs))]
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.set_floatx("float16")
    try:
        got = [Network(r).activations(x) for r, x in ((file, small), (vgg16, photographs), (application, photographs))]
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
    keras = backend.import_keras(2)
    inputs = keras.Input((8, 10, 3))
    big = keras.layers.Conv2D(1, 3, kernel_initializer=keras.initializers.Constant(100.0), name="big")(inputs)
    keras.Model(inputs, big).save(tmp_path / "m.keras")
    images = np.full((1, 8, 10, 3), 255, np.uint8)
    recipe = resolve_network(str(tmp_path / "m.keras"), layers=("big",), precision="float16")
    with pytest.raises(InputError, match="activations of big are not finite when computed in float16; set `precision"):
        Network(recipe).activations(images)


# ---------------------------------------------------------------- what Keras 2 wrote


@needs_tensorflow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_keras_2_models_with_groups_and_slashes_load(tmp_path):
    keras = backend.import_keras(2)
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
def test_weights_without_dense_layers_serve_the_blocks_and_fc1_is_named(tmp_path, legacy_content, photographs):
    path = write_legacy(tmp_path / "no.h5", {k: v for k, v in legacy_content.items() if k.startswith("block")})
    blocks = tuple(f"block{i}_pool" for i in range(1, 6))
    found = Network(resolve_network(str(path), layers=blocks)).activations(photographs[:1])
    assert {layer: found[layer].shape[1:] for layer in blocks} == {layer: LAYERS[layer].shape for layer in blocks}
    with pytest.raises(InputError, match="lack fc1; they have"):
        Network(resolve_network(str(path), layers=("fc1",)))
