"""Fixtures of the tests of this folder."""

import importlib.util
import shutil

import numpy as np
import PIL.Image
import pytest
import skimage.data

from distspc.extraction.backends import keras_runtime as backend
from distspc.images.resizing import resize_image
from tests.extraction.shared import ALL, LEGACY_SHAPES, N_FILLERS, N_TARGETS, vgg16_by_hand, vgg16_weights


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Folders of JPEG crops of a photograph."""
    folder = tmp_path_factory.mktemp("photographs")
    source = skimage.data.coffee()
    for role, n in (("Targets", N_TARGETS), ("Fillers", N_FILLERS)):
        (folder / role).mkdir()
        for i in range(1, n + 1):
            crop = source[3 * i : 3 * i + 64, 5 * i : 5 * i + (48 if i % 2 else 64)]
            PIL.Image.fromarray(crop).save(folder / role / f"{i}.jpg", quality=75)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small network in a file."""
    keras = backend.import_keras(2)
    inputs = keras.Input((12, 10, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="edges")(inputs)
    keras.layers.Dense(5, name="top")(keras.layers.Flatten()(x))
    path = tmp_path_factory.mktemp("model") / "model.keras"
    keras.Model(inputs, keras.layers.Dense(5, name="top")(keras.layers.Flatten(name="flat")(x))).save(path)
    return str(path)


@pytest.fixture
def study(tmp_path, photographs):
    shutil.copytree(photographs, tmp_path / "Images")
    return tmp_path


@pytest.fixture(scope="module")
def network_photographs():
    return np.stack([resize_image(image[:256, :256]) for image in (skimage.data.astronaut(), skimage.data.coffee())])


@pytest.fixture(scope="module")
def expected_activations(network_photographs):
    w = vgg16_weights()
    each = [vgg16_by_hand(image, w) for image in network_photographs]
    return {layer: np.stack([one[layer] for one in each]) for layer in ALL}


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


@pytest.fixture(scope="module")
def token_model(tmp_path_factory):
    """A network in a file whose layers are tokens, without and with one before those of patches, and a map."""
    keras = backend.import_keras(2)
    inputs = keras.Input((8, 8, 3))
    edges = keras.layers.Conv2D(4, 3, padding="same", name="edges")(inputs)
    patches = keras.layers.Reshape((64, 4), name="patches")(edges)
    tokens = keras.layers.Dense(5, name="tokens")(keras.layers.ZeroPadding1D((1, 0), name="with_class")(patches))
    top = keras.layers.Dense(3, name="top")(keras.layers.GlobalAveragePooling1D(name="mean")(tokens))
    path = tmp_path_factory.mktemp("tokens") / "tokens.keras"
    keras.Model(inputs, top).save(path)
    return str(path)
