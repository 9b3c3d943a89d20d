"""The one place that imports Keras: builds a network once per process, and gives all requested layers in one pass.

The default is VGG-16 with 1,365 classes (ImageNet and Places365); any other Keras model with one image input and a
graph of layers works too. Nothing here depends on Keras's backend beyond settings of threads and memory.
"""

from __future__ import annotations

import functools
import importlib
import logging
import math
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from distspc.errors import InputError
from distspc.extraction import weights as weight_files
from distspc.extraction.backend import DEVICE, import_keras
from distspc.extraction.network_spec import NetworkSpec, refuse_unknown
from distspc.extraction.options import WEIGHTS_WORDS
from distspc.extraction.safe_files import refuse_code
from distspc.layers import VGG16, vgg16_shape, vgg16_weight_shapes

logger = logging.getLogger(__name__)

CAFFE_MEAN_BGR = (104.006, 116.669, 122.679)
Shapes = Mapping[str, Sequence[tuple[int, ...]]]


def layer_shapes(recipe: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Shape of each requested layer's output for one image; loads Keras only for networks other than VGG-16.

    Parameters
    ----------
    recipe
        The network.

    Returns
    -------
    dict
        By layer, (row, column, channel) or (unit,).

    Raises
    ------
    InputError
        If the network has no such layer; lists those it has.
    """
    if recipe.architecture == "vgg16":
        return {layer: vgg16_shape(layer, recipe.n_classes) for layer in recipe.layers}
    with _float32(import_keras(None)):
        model = _cut(_load_model(recipe), recipe.layers)
    return {layer: _shape(model.output[layer], layer) for layer in recipe.layers}


class Network:
    """A network that is ready to run, cut at its deepest requested layer; not to be pickled.

    Parameters
    ----------
    recipe
        Which.
    n_threads
        Threads of the device, where this process has not settled them yet; None leaves them.
    """

    def __init__(self, recipe: NetworkSpec, n_threads: int | None = None) -> None:
        keras = import_keras(n_threads)
        self.recipe = recipe
        with _float32(keras):
            full = _build_vgg16(recipe) if recipe.architecture == "vgg16" else _load_model(recipe)
            self._model = _cut(full, recipe.layers)
        self._prepare = _own_function(recipe) if recipe.preprocessing == "auto" else None
        # XLA on the CPU makes TensorFlow's convolutions slower; JAX is nothing without it.
        self._model.compile(optimizer=None, jit_compile=keras.backend.backend() == "jax")
        self.input_size = _input_size(self._model)

    def __reduce__(self) -> Any:
        raise TypeError("a Network is built where it runs; send its Recipe instead")

    def activations(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run one batch forward.

        Parameters
        ----------
        images
            uint8 (n, height, width, 3), RGB.

        Returns
        -------
        dict
            By layer, (n, *shape of the layer), in the precision of the arithmetic.
        """
        if self._prepare is None:
            batch = preprocess(images, self.recipe.preprocessing)
        else:
            batch = self._prepare(images.astype(np.float32), data_format="channels_last")
        with DEVICE:
            outputs = self._model.predict_on_batch(batch)
        found = {layer: np.asarray(outputs[layer]) for layer in self.recipe.layers}
        if self.recipe.precision != "float32":
            _refuse_overflow(found, self.recipe.precision)
        return found


@functools.lru_cache(maxsize=1)
def _cached_network(recipe: NetworkSpec, n_threads: int | None) -> Network:
    return Network(recipe, n_threads)


_BUILDING = threading.Lock()


def load_network(recipe: NetworkSpec, n_threads: int | None = None) -> Network:
    """Build a network, or give the one that this process has built before; one is kept at a time.

    Parameters
    ----------
    recipe
        Which.
    n_threads
        Threads of the device (see `Network`).

    Returns
    -------
    Network

    Raises
    ------
    InputError
        If its weights cannot be used, or it has no such layer.
    """
    with _BUILDING:
        return _cached_network(recipe, n_threads)


def release_network() -> None:
    """Forget the network that `load_network` keeps, so that its memory can be used for something else."""
    with _BUILDING:
        _cached_network.cache_clear()
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()


def preprocess(images: np.ndarray, preprocessing: str = "raw") -> np.ndarray:
    """Turn decoded images into the network's input.

    Parameters
    ----------
    images
        uint8 (n, height, width, 3), RGB.
    preprocessing
        ``raw``: as they are, 0 to 255. ``caffe``: BGR, minus 104.006, 116.669, 122.679.

    Returns
    -------
    np.ndarray
        float32, same shape.
    """
    if preprocessing == "raw":
        return images.astype(np.float32)
    return images[..., ::-1].astype(np.float32) - np.asarray(CAFFE_MEAN_BGR, dtype=np.float32)


def random_kernel(shape: Sequence[int], fan_in: int, *, seed: int, name: str) -> np.ndarray:
    """Draw a random kernel, the same on every machine and backend: uniform, He-scaled (variance 2 / `fan_in`).

    The stream depends on the name, so a layer's weights are the same however much of the network is built.

    Parameters
    ----------
    shape
        Shape of the kernel.
    fan_in
        Number of inputs of one unit.
    seed
        Seed of the network.
    name
        Name of the layer.

    Returns
    -------
    np.ndarray
        float32.
    """
    values = np.random.default_rng([seed, zlib.crc32(name.encode())]).random(tuple(shape), dtype=np.float32)
    limit = np.float32(math.sqrt(6.0 / max(fan_in, 1)))
    values -= np.float32(0.5)
    values *= 2 * limit
    return values


# ---------------------------------------------------------------- VGG-16


def _build_vgg16(recipe: NetworkSpec) -> Any:
    """VGG-16 up to the deepest requested layer, with its weights."""
    import keras

    last = max(list(VGG16).index(layer) for layer in recipe.layers)
    shapes = vgg16_weight_shapes(list(VGG16)[: last + 1], recipe.n_classes)
    weights = _random_weights(shapes, recipe.seed) if recipe.weights == "random" else _read_weights(shapes, recipe)
    x = inputs = keras.Input((224, 224, 3), dtype="float32", name="image")
    for name, kind in list(VGG16.items())[: last + 1]:
        # Weights are born with their values, layer by layer: replacing them later would hold fc1's 0.4 GB thrice.
        given = next(weights)[1] if name in shapes else []
        layer = _vgg16_layer(name, kind, recipe, given)
        x = layer(x)
        layer.kernel_initializer = layer.bias_initializer = None  # they hold the arrays
    return keras.Model(inputs, x, name="vgg16")


def _random_weights(shapes: Shapes, seed: int) -> Iterator[tuple[str, list[np.ndarray]]]:
    for name, (kernel, bias) in shapes.items():
        drawn = random_kernel(kernel, math.prod(kernel[:-1]), seed=seed, name=name)
        yield name, [drawn, np.zeros(bias, np.float32)]


def _read_weights(shapes: Shapes, recipe: NetworkSpec) -> Iterator[tuple[str, list[np.ndarray]]]:
    weight_files.check_digest(recipe.weights, weight_files.file_digest(recipe.weights), recipe.digest)
    return weight_files.read_weights(recipe.weights, shapes)


def _vgg16_layer(name: str, kind: int | str, recipe: NetworkSpec, given: Sequence[np.ndarray]) -> Any:
    from keras import layers

    common: dict[str, Any] = {"name": name, "dtype": recipe.precision}
    if kind == "pool":
        return layers.MaxPooling2D(2, strides=2, data_format="channels_last", **common)
    if kind == "flatten":
        return layers.Flatten(data_format="channels_last", **common)
    if kind == "dropout":
        return layers.Dropout(0.5, **common)
    kernel, bias = given
    common.update(kernel_initializer=lambda shape, dtype=None: kernel, bias_initializer=lambda shape, dtype=None: bias)
    if kernel.ndim == 2:
        return layers.Dense(len(bias), activation="softmax" if kind == "softmax" else "relu", **common)
    return layers.Conv2D(len(bias), 3, padding="same", activation="relu", data_format="channels_last", **common)


def _randomise(model: Any, seed: int) -> None:
    """Draw all kernels anew; biases and normalisation keep the constants they are born with."""
    for layer in model.layers:
        for i, weight in enumerate(layer.weights):
            if len(weight.shape) < 2 or "float" not in str(weight.dtype):
                continue
            depthwise = type(layer).__name__.startswith("Depthwise")
            fan_in = math.prod(weight.shape[:2] if depthwise else weight.shape[:-1])
            name = layer.name if i == 0 else f"{layer.name}/{i}"
            weight.assign(random_kernel(weight.shape, fan_in, seed=seed, name=name))


# ---------------------------------------------------------------- any Keras model


def _load_model(recipe: NetworkSpec) -> Any:
    """A whole model: from a file, or from ``keras.applications``."""
    keras = import_keras(None)
    model = _load_file(recipe, keras) if recipe.architecture == "file" else _load_application(recipe, keras)
    if recipe.precision != "float32":
        for layer in model._flatten_layers(include_self=False):
            layer.dtype_policy = keras.DTypePolicy(f"mixed_{recipe.precision}")
    return model


def _load_file(recipe: NetworkSpec, keras: Any) -> Any:
    path = recipe.weights
    weight_files.check_digest(path, weight_files.file_digest(path), recipe.digest)
    refuse_code(path)
    try:
        with weight_files.readable_by_keras_3(path) as readable:
            return _in_float32(keras.saving.load_model(readable, compile=False, safe_mode=True), keras)
    except Exception as error:  # Keras raises nearly everything on files that it cannot use
        raise InputError(
            f"model {path!r} cannot be loaded ({type(error).__name__}: {_first_sentence(error)}). "
            "Save it as .keras with a recent Keras 3, or give the weights of VGG-16 by layer name (.h5)"
        ) from error


def _first_sentence(error: Exception) -> str:
    """What an error says first: Keras goes on with the model's whole description."""
    text = " ".join(str(error).split())
    sentence = text.split(". ")[0].rstrip(".")
    return sentence if len(sentence) <= 200 else sentence[:197] + "..."


def _in_float32(model: Any, keras: Any) -> Any:
    """A model as it is, or built anew where it was saved with other floating-point types than float32."""
    config = keras.saving.serialize_keras_object(model)
    if not weight_files.settle_dtypes(config):
        return model
    logger.info("the model was saved with other floating-point types; it is computed as the study's `precision` says")
    twin = keras.saving.deserialize_keras_object(config)
    old, new = model._flatten_layers(), twin._flatten_layers()
    for layer, other in zip(old, new, strict=True):
        values: dict[str, Any] = {}
        layer.save_own_variables(values)
        other.load_own_variables({name: _single(value) for name, value in values.items()})
    return twin


def _single(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array if array.dtype.kind in "iub" else array.astype(np.float32)


def _maker(recipe: NetworkSpec, keras: Any) -> Any:
    """The function of ``keras.applications`` that builds a network."""
    makers = {n.lower(): getattr(keras.applications, n) for n in dir(keras.applications) if n[0].isupper()}
    if recipe.architecture.lower() not in makers:
        known = ", ".join(sorted(makers))
        raise InputError(f"weights {recipe.architecture!r}: expected {WEIGHTS_WORDS} (known are {known})")
    return makers[recipe.architecture.lower()]


def _own_function(recipe: NetworkSpec) -> Any:
    """The preprocessing that ``keras.applications`` has beside a network."""
    import keras

    return importlib.import_module(_maker(recipe, keras).__module__).preprocess_input


def _load_application(recipe: NetworkSpec, keras: Any) -> Any:
    maker = _maker(recipe, keras)
    try:
        model = maker(weights=None if recipe.weights == "random" else "imagenet")
    except Exception as error:  # no network has many names
        raise InputError(
            f"weights of {recipe.architecture} cannot be fetched ({type(error).__name__}: {_first_sentence(error)}). "
            "Put the file that is named there into ~/.keras/models yourself"
        ) from error
    if recipe.weights == "random":
        _randomise(model, recipe.seed)
    return model


def _cut(model: Any, layers: Sequence[str]) -> Any:
    """The part of a model that leads to the requested layers, which become its outputs by name."""
    import keras

    if not getattr(model, "inputs", None):
        raise InputError("the model has no graph of layers (a subclassed or unbuilt model): save a functional one")
    if len(model.inputs) != 1:
        raise InputError(f"the model has {len(model.inputs)} inputs, expected one image")
    known = {layer.name: layer for layer in model.layers}
    refuse_unknown(layers, known)
    try:
        outputs = {name: known[name].output for name in layers}
    except (AttributeError, ValueError) as error:
        raise InputError(f"the model uses one of {', '.join(layers)} more than once, or not at all") from error
    return keras.Model(model.inputs[0], outputs)


def _shape(output: Any, layer: str) -> tuple[int, ...]:
    shape = tuple(output.shape[1:])
    if None in shape or not shape:
        raise InputError(f"layer {layer!r} has outputs of shape {shape}, whose size is not fixed")
    return tuple(int(n) for n in shape)


def _input_size(model: Any) -> tuple[int, int]:
    """Height and width of the input; 224 where the model takes any."""
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3:
        raise InputError(f"the model takes inputs of shape {shape[1:]}, expected (height, width, 3)")
    return shape[1] or 224, shape[2] or 224


@contextmanager
def _float32(keras: Any) -> Iterator[None]:
    """Build in float32, whatever the process or ``keras.json`` has set; layers keep what they are built with."""
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def _refuse_overflow(found: Mapping[str, np.ndarray], precision: str) -> None:
    for layer, values in found.items():
        if not np.isfinite(values.astype(np.float32)).all():
            raise InputError(
                f"activations of {layer} are not finite when computed in {precision}; set `precision: float32`"
            )
