"""Keras models: VGG-16, files, networks of ``keras.applications``; any graph of layers with one image input.

Nothing here depends on Keras's own backend (TensorFlow, JAX, torch) beyond settings of threads and memory.
"""

from __future__ import annotations

import importlib
import logging
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from distspc.errors import InputError
from distspc.extraction.backends import vgg16
from distspc.extraction.backends.base import (
    Memory,
    NetworkLayer,
    NetworkSize,
    fixed_shape,
    random_kernel,
    refuse_overflow,
    settled_size,
)
from distspc.extraction.backends.keras_runtime import import_keras
from distspc.extraction.backends.keras_vgg16 import VGG16_MEMORY, build_vgg16
from distspc.extraction.files import weights as weight_files
from distspc.extraction.files.safe_files import refuse_code
from distspc.extraction.network_spec import NetworkSpec, refuse_unknown
from distspc.extraction.options import WEIGHTS_WORDS

logger = logging.getLogger(__name__)

IMPORTS_NBYTES = 720 * 2**20
"""Memory of a worker with Keras and TensorFlow."""


class KerasNetwork:
    """A Keras model, cut at its deepest requested layer (see `distspc.extraction.backends.base.Backend`)."""

    def __init__(self, spec: NetworkSpec, n_threads: int | None = None) -> None:
        with weight_files.read_ahead(spec.weights):
            keras = import_keras(n_threads)
        self._layers, self._precision = spec.layers, spec.precision
        with _float32(keras):
            full = build_vgg16(spec) if spec.architecture == "vgg16" else _load_model(spec)
            self._model = _cut(full, spec.layers)
        # XLA on the CPU makes TensorFlow's convolutions slower; JAX is nothing without it.
        self._model.compile(optimizer=None, jit_compile=keras.backend.backend() == "jax")
        self.input_size = _input_size(self._model, spec.input_size)

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs of the requested layers, in the precision of the arithmetic."""
        outputs = self._model.predict_on_batch(images)
        found = {layer: np.asarray(outputs[layer]) for layer in self._layers}
        refuse_overflow(found, self._precision)
        return found


def list_layers(spec: NetworkSpec) -> list[NetworkLayer]:
    """All layers of the whole network, in order; loads no Keras for VGG-16."""
    if spec.architecture == "vgg16":
        return vgg16.list_layers(spec)
    with _float32(import_keras(None)):
        model = _load_model(spec)
        _refuse_other_inputs(model)
        return [NetworkLayer(name, kind, tuple(output.shape[1:])) for name, (kind, output) in _outputs(model).items()]


def measure(spec: NetworkSpec) -> NetworkSize:
    """How large the requested part is; loads no Keras for VGG-16."""
    if spec.architecture == "vgg16":
        return vgg16.measure(spec, VGG16_MEMORY)
    with _float32(import_keras(None)):
        model = _cut(_load_model(spec), spec.layers)
    shapes = {layer: fixed_shape(layer, model.output[layer].shape[1:]) for layer in spec.layers}
    largest = max((_output_size(layer) for layer in model._flatten_layers(include_self=False)), default=0)
    memory = Memory.of(IMPORTS_NBYTES, 2, model.count_params(), largest)
    return NetworkSize(shapes, sum(_flop(layer) for layer in model.layers), memory)


def _output_size(layer: Any) -> int:
    """Values of a layer's output for one image; 0 where their number is not fixed, or there are several outputs."""
    (output,) = _own_outputs(layer) or (None,)
    shape = tuple(getattr(output, "shape", ())[1:])
    return 0 if not shape or None in shape else math.prod(shape)


def _flop(layer: Any) -> float:
    """Operations of a layer with its kernels, at every position of its output; 0 where its size is not fixed."""
    (output,) = _own_outputs(layer) or (None,)
    positions = list(getattr(output, "shape", ())[1:-1])
    if None in positions:
        return 0.0
    kernels = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
    return sum(2.0 * math.prod(kernel) * math.prod(positions) for kernel in kernels)


def prefix(spec: NetworkSpec) -> None:
    """A model of Keras does not say which of its tokens are before those of patches."""


def release() -> None:
    """Forget what Keras keeps of models that are gone."""
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()


def own_preprocessing(spec: NetworkSpec) -> Callable[[np.ndarray], np.ndarray]:
    """The preprocessing that ``keras.applications`` has beside a network, from uint8 (n, height, width, 3)."""
    import keras

    own = importlib.import_module(_maker(spec, keras).__module__).preprocess_input
    return lambda images: np.asarray(own(images.astype(np.float32), data_format="channels_last"))


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


def _load_model(spec: NetworkSpec) -> Any:
    """A whole model: from a file, or from ``keras.applications``."""
    keras = import_keras(None)
    model = _load_file(spec, keras) if spec.architecture == "file" else _load_application(spec, keras)
    if spec.precision != "float32":
        for layer in model._flatten_layers(include_self=False):
            layer.dtype_policy = keras.DTypePolicy(f"mixed_{spec.precision}")
    return model


def _load_file(spec: NetworkSpec, keras: Any) -> Any:
    path = spec.weights
    weight_files.check_digest(path, weight_files.file_digest(path, read=True), spec.digest)
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


def _maker(spec: NetworkSpec, keras: Any) -> Any:
    """The function of ``keras.applications`` that builds a network."""
    makers = {n.lower(): getattr(keras.applications, n) for n in dir(keras.applications) if n[0].isupper()}
    if spec.architecture.lower() not in makers:
        known = ", ".join(sorted(makers))
        raise InputError(f"weights {spec.architecture!r}: expected {WEIGHTS_WORDS} (available: {known})")
    return makers[spec.architecture.lower()]


def _load_application(spec: NetworkSpec, keras: Any) -> Any:
    maker = _maker(spec, keras)
    try:
        model = maker(weights=None if spec.weights == "random" else "imagenet")
    except Exception as error:  # no network has many names
        raise InputError(
            f"weights of {spec.architecture} cannot be fetched ({type(error).__name__}: {_first_sentence(error)}). "
            "Put the file that is named there into ~/.keras/models yourself"
        ) from error
    if spec.weights == "random":
        _randomise(model, spec.seed)
    return model


def _refuse_other_inputs(model: Any) -> None:
    """Refuse models that do not take one image each."""
    if not getattr(model, "inputs", None):
        raise InputError("the model has no graph of layers (a subclassed or unbuilt model): save a functional one")
    if len(model.inputs) != 1:
        raise InputError(f"the model has {len(model.inputs)} inputs, expected one image")


def _cut(model: Any, layers: Sequence[str]) -> Any:
    """The part of a model that leads to the requested layers, which become its outputs by name."""
    import keras

    _refuse_other_inputs(model)
    known = _outputs(model)
    refuse_unknown(layers, _inner_layers(model))
    unusable = [layer for layer in layers if layer not in known]
    if unusable:
        raise InputError(
            f"layer {', '.join(map(repr, unusable))} is used more than once in the model, or not at all, or has "
            "several outputs: name another layer"
        )
    return keras.Model(model.inputs[0], {name: known[name][1] for name in layers})


def _outputs(model: Any) -> dict[str, tuple[str, Any]]:
    """Kind and output of every layer that has one output, by name; inside an inner model by ``outer/inner``."""
    found: dict[str, list[tuple[str, Any]]] = {}
    if any(_is_model(layer) for layer in model.layers):
        _run_through(
            model, [model.inputs[0]], "", lambda name, kind, out: found.setdefault(name, []).append((kind, out))
        )
    else:
        for layer in model.layers:
            found[layer.name] = [(type(layer).__name__, output) for output in _own_outputs(layer)]
    return {name: outs[0] for name, outs in found.items() if len(outs) == 1 and hasattr(outs[0][1], "shape")}


def _own_outputs(layer: Any) -> list[Any]:
    """Output of a layer that is used once."""
    if len(getattr(layer, "_inbound_nodes", ())) > 1:  # `output` is that of its first use
        return []
    try:
        return [layer.output]
    except (AttributeError, ValueError):  # not used, or more than once
        return []


def _is_model(layer: Any) -> bool:
    """Whether a layer is a model with a graph of its own."""
    import keras

    return isinstance(layer, keras.Model) and hasattr(layer, "layers") and bool(getattr(layer, "inputs", None))


def _run_through(model: Any, inputs: Sequence[Any], prefix: str, note: Callable[[str, str, Any], None]) -> Any:
    """Call a model's layers one by one on symbolic inputs, those of inner models too; its output."""
    import keras

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_model(layer):
            output = _run_through(layer, args, f"{prefix}{layer.name}/", note)
        else:
            output = layer(*args, **kwargs)
        note(prefix + layer.name, type(layer).__name__, output)
        return output

    if isinstance(model, keras.Sequential):
        (x,) = inputs
        for layer in model.layers:
            x = call(layer, x)
        return x
    return model._run_through_graph(inputs[0] if len(inputs) == 1 else list(inputs), lambda layer: layer, call)


def _inner_layers(model: Any, prefix: str = "") -> list[str]:
    """Names of all layers, inner models' own after them."""
    names = []
    for layer in model.layers:
        names.append(prefix + layer.name)
        if _is_model(layer):
            names += _inner_layers(layer, f"{prefix}{layer.name}/")
    return names


def _input_size(model: Any, wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of the input: fixed by the model, else as wanted, else 224."""
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3:
        raise InputError(f"the model takes inputs of shape {shape[1:]}, expected (height, width, 3)")
    return settled_size(shape[1:3], wanted)


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
