"""ONNX files in ONNX Runtime: any tensor of the graph is a layer; the graph is cut at the deepest requested ones."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distspc.errors import InputError
from distspc.extraction.backends import vgg16
from distspc.extraction.backends.base import Memory, NetworkLayer, NetworkSize, fixed_shape, settled_size
from distspc.extraction.backends.onnx_vgg16 import VGG16_MEMORY, Graph, build_vgg16
from distspc.extraction.files import weights as weight_files
from distspc.extraction.files.onnx_files import import_onnx, model_digest, read_model
from distspc.extraction.network_spec import NetworkSpec, refuse_unknown

logger = logging.getLogger(__name__)

IMPORTS_NBYTES = 140 * 2**20
"""Memory of a worker with ONNX Runtime."""
_COPIES = 5
"""A graph's weights while it is built: as read, cut, written for the runtime, there, and in the runtime's own order."""

GPU_PROVIDERS: dict[str, dict[str, str]] = {
    "CUDAExecutionProvider": {"use_tf32": "0"},
    "ROCMExecutionProvider": {},
    "MIGraphXExecutionProvider": {},
    "DmlExecutionProvider": {},
}
"""Where they are, with float32 arithmetic as it is."""
_KEPT_MAPS = frozenset(
    ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool",
     "BatchNormalization", "InstanceNormalization", "LRN", "DepthToSpace", "SpaceToDepth", "Resize", "Upsample")
)  # fmt: skip
"""Operations whose outputs are (image, channel, row, column) by ONNX's own definition."""
_BY_ELEMENT = frozenset(
    ("Abs", "Add", "Cast", "Ceil", "Celu", "Clip", "Concat", "Cos", "Div", "Dropout", "Elu", "Erf", "Exp", "Floor",
     "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "LogSoftmax", "Max", "Min", "Mish", "Mod",
     "Mul", "Neg", "PRelu", "Pad", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin",
     "Softmax", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where")
)  # fmt: skip
"""Operations that leave the order of axes as it is."""


class _Input(NamedTuple):
    """The one image input of a graph."""

    name: str
    batch: int | None
    """Images at a time; None: any number."""
    channels_first: bool
    sides: tuple[int | None, int | None]
    dtype: str


class OnnxNetwork:
    """An ONNX graph, cut at its deepest requested layers (see `distspc.extraction.backends.base.Backend`)."""

    def __init__(self, spec: NetworkSpec, n_threads: int | None = None) -> None:
        model, arrays = _build(spec)
        self._input = _image_input(model.graph)
        self._channels_first = _channels_first(model.graph, self._input)
        self._tensors = _requested(model.graph, spec.layers)
        cut = _cut(model, self._input.name, list(self._tensors.values()))
        self._session = _open_session(cut, spec.weights, n_threads, arrays)
        self.input_size = settled_size(self._input.sides, spec.input_size)

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs of the requested layers, float32, maps with their channels last."""
        names = list(dict.fromkeys(self._tensors.values()))
        step = self._input.batch or len(images)
        parts = [self._run_batch(images[start : start + step], step, names) for start in range(0, len(images), step)]
        whole = parts[0] if len(parts) == 1 else [np.concatenate(some) for some in zip(*parts, strict=True)]
        found = dict(zip(names, whole, strict=True))
        return {layer: self._ordered(found[tensor], tensor) for layer, tensor in self._tensors.items()}

    def _run_batch(self, images: np.ndarray, size: int, names: Sequence[str]) -> list[np.ndarray]:
        """Outputs for as many images as the graph takes at a time; missing ones are the last again."""
        n = len(images)
        if n < size:
            images = np.concatenate([images, np.repeat(images[-1:], size - n, axis=0)])
        batch = np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if self._input.channels_first else images
        outputs = self._session.run(list(names), {self._input.name: batch.astype(self._input.dtype, copy=False)})
        for name, output in zip(names, outputs, strict=True):
            if np.ndim(output) < 1 or len(output) != size:
                shape = np.shape(output)
                raise InputError(
                    f"layer {name!r} has outputs of shape {shape} for a batch of {size}: no axis of images"
                )
        return [output[:n] for output in outputs]

    def _ordered(self, values: np.ndarray, tensor: str) -> np.ndarray:
        if tensor in self._channels_first and values.ndim == 4:
            values = values.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(values, dtype=np.float32)


def _build(spec: NetworkSpec) -> Graph:
    """The graph of VGG-16, whose weights are apart from it, or that of a file."""
    if spec.architecture == "vgg16":
        return build_vgg16(spec)
    weight_files.check_digest(spec.weights, model_digest(spec.weights, read=True), spec.digest)
    return Graph(read_model(spec.weights), {})


def list_layers(spec: NetworkSpec) -> list[NetworkLayer]:
    """All tensors that a study may name, in order, with the shapes that one image gives them; of VGG-16 its layers."""
    if spec.architecture == "vgg16":
        return vgg16.list_layers(spec)
    graph = read_model(spec.weights).graph
    kinds = {node.output[0]: node.op_type for node in _useful(graph)}
    return [
        NetworkLayer(name, kinds[name], shape)
        for name, shape in _shapes(spec, {name: name for name in kinds}).items()
        if shape
    ]


def measure(spec: NetworkSpec) -> NetworkSize:
    """How large the requested part is: the graph is run once, on empty images; that of VGG-16 is known."""
    if spec.architecture == "vgg16":
        return vgg16.measure(spec, VGG16_MEMORY)
    model = read_model(spec.weights)
    tensors = _requested(model.graph, spec.layers)
    cut = _cut(model, _image_input(model.graph).name, list(tensors.values()))
    kernels = _kernels(cut.graph)
    shapes = _shapes(spec, {**{f"\0{node.output[0]}": node.output[0] for node in _useful(cut.graph)}, **tensors})
    sizes = {name.removeprefix("\0"): math.prod(shape) for name, shape in shapes.items() if shape}
    flop = sum(2.0 * per_value * sizes.get(name, 0) for name, per_value in kernels.items())
    n_parameters = sum(math.prod(tensor.dims) for tensor in cut.graph.initializer)
    memory = Memory.of(IMPORTS_NBYTES, _COPIES, n_parameters, max(sizes.values(), default=0))
    return NetworkSize({layer: fixed_shape(layer, shapes[layer]) for layer in tensors}, flop, memory)


def _kernels(graph: Any) -> dict[str, int]:
    """Multiplications for one value of the outputs of operations with stored weights."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm") and len(shape := shapes.get(node.input[1], ())) > 1:
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            across = shape[1:] if node.op_type == "Conv" or transposed else shape[:-1]
            found[node.output[0]] = math.prod(across)
    return found


def prefix(spec: NetworkSpec) -> None:
    """A graph does not say which of its tokens are before those of patches."""


def release() -> None:
    """Nothing is kept beside the network itself."""


def _shapes(spec: NetworkSpec, tensors: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors for one image; empty for those that hold no floating-point numbers by image."""
    model = read_model(spec.weights)
    image = _image_input(model.graph)
    first = _channels_first(model.graph, image)
    session = _open_session(_cut(model, image.name, list(tensors.values())), spec.weights, None)
    names, n = list(dict.fromkeys(tensors.values())), image.batch or 2
    sides = settled_size(image.sides, spec.input_size)
    shape = (n, 3, *sides) if image.channels_first else (n, *sides, 3)
    outputs = dict(zip(names, session.run(names, {image.name: np.zeros(shape, image.dtype)}), strict=True))
    found = {}
    for layer, tensor in tensors.items():
        values = np.asarray(outputs[tensor])
        by_image = values.ndim > 1 and len(values) == n and values.dtype.kind == "f"
        moved = values.ndim == 4 and tensor in first
        found[layer] = _channels_last(values.shape[1:], moved=moved) if by_image else ()
    return found


def _channels_last(shape: tuple[int, ...], *, moved: bool) -> tuple[int, ...]:
    return (*shape[1:], shape[0]) if moved else shape


# ---------------------------------------------------------------- the graph


def _useful(graph: Any) -> Iterator[Any]:
    """Nodes whose output is computed from something."""
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" or all(name in constants for name in node.input):
            constants.update(node.output)
        elif node.op_type not in ("Shape", "Size"):
            yield node


def _requested(graph: Any, layers: Sequence[str]) -> dict[str, str]:
    """Tensors of the requested layers, which are names of tensors or of nodes.

    Raises
    ------
    InputError
        If there is no such name; names near misses.
    """
    nodes = list(_useful(graph))
    known = {node.name: node.output[0] for node in nodes if node.name}
    known |= {output: output for node in nodes for output in node.output if output}
    if any(layer not in known for layer in layers):
        tensors = [output for node in nodes for output in node.output if output]
        refuse_unknown(layers, tensors + [name for name in known if name not in set(tensors)])
    return {layer: known[layer] for layer in layers}


def _image_input(graph: Any) -> _Input:
    """The input that takes images, its order of axes found by where the three channels are."""
    onnx = import_onnx()
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise InputError(f"the model has {len(inputs)} inputs ({names}): export it with the image as its only input")
    kind = inputs[0].type.tensor_type
    shape = [dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim]
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        sizes = ", ".join("any" if n is None else str(n) for n in shape)
        raise InputError(f"the model takes inputs of shape ({sizes}), expected three channels second or last")
    first = shape[1] == 3
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if dtype.name not in ("float32", "float16", "uint8"):
        raise InputError(f"the model takes {dtype.name} inputs, expected float32, float16 or uint8")
    sides = (shape[2], shape[3]) if first else (shape[1], shape[2])
    return _Input(inputs[0].name, shape[0], first, sides, dtype.name)


def _channels_first(graph: Any, image: _Input) -> set[str]:
    """Tensors that are maps with their channels before rows and columns, by what the operations say."""
    found = {image.name} if image.channels_first else set()
    for node in graph.node:
        inherits = node.op_type in _BY_ELEMENT and any(name in found for name in node.input)
        if node.op_type in _KEPT_MAPS or inherits:
            found.update(node.output)
    return found


def _cut(model: Any, image: str, tensors: Sequence[str]) -> Any:
    """The part of a model that leads to some tensors, which become its outputs."""
    onnx = import_onnx()
    from onnx.utils import Extractor

    names = list(dict.fromkeys(tensors))
    known = {value.name for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    for name in names:
        if name not in known:  # the runtime finds out the type itself
            model.graph.value_info.append(onnx.ValueInfoProto(name=name))
    try:
        return Extractor(model).extract_model([image], names)
    except (ValueError, AssertionError) as error:
        raise InputError(f"the graph cannot be cut at {', '.join(names)} ({error})") from error


def _open_session(model: Any, path: str, n_threads: int | None, arrays: Mapping[str, np.ndarray] | None = None) -> Any:
    """Make a session of a model, of which some weights may be apart; a GPU is used where the runtime has one."""
    try:
        import onnxruntime
    except ImportError as error:
        needed_by = "engine 'onnx'" if arrays else "an .onnx file"
        raise InputError(f"{needed_by} needs ONNX Runtime ({error}): pip install 'distspc[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.inter_op_num_threads = 1
    if n_threads is not None:
        options.intra_op_num_threads = n_threads
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(Path(path).parent))
    apart = {one.name: arrays[one.name] for one in model.graph.initializer if one.name in arrays} if arrays else {}
    if apart:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in apart.values()]
        options.add_external_initializers(list(apart), values)
    there = onnxruntime.get_available_providers()
    providers: list[Any] = [(name, set_up) for name, set_up in GPU_PROVIDERS.items() if name in there]
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=[*providers, "CPUExecutionProvider"]
        )
    except Exception as error:  # the runtime's errors have no common base
        first = " ".join(str(error).split())[:200]
        raise InputError(f"model {path!r} cannot be run by ONNX Runtime ({type(error).__name__}: {first})") from error
