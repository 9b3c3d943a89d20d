"""VGG-16, and networks built like it, as an ONNX graph with the weights of their Keras twins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from distspc.extraction.backends.base import Memory
from distspc.extraction.backends.vgg16 import needed_layers, read_weights
from distspc.extraction.files.onnx_files import import_onnx
from distspc.extraction.network_spec import NetworkSpec
from distspc.layers import INPUT_SHAPE, VGG16

VGG16_MEMORY = Memory(building=1750 * 2**20, built=850 * 2**20, image=56 * 2**20, left=140 * 2**20)
"""As measured, with the imports: the weights thrice while the session is made, once afterwards."""

Weights = Iterable[tuple[str, Sequence[np.ndarray]]]


class Graph(NamedTuple):
    """A graph, and the arrays of its weights by name, which are not in it: the runtime takes them as they are."""

    model: Any
    arrays: dict[str, np.ndarray]


def build_vgg16(spec: NetworkSpec) -> Graph:
    """Build VGG-16 up to the deepest requested layer, with its weights.

    It takes (image, row, column, channel) and every layer gives its channels last, under its own name.

    Raises
    ------
    InputError
        If the weights cannot be used, or the extra ``onnx`` is not installed.
    """
    import_onnx("engine 'onnx'")
    kinds = {name: VGG16[name] for name in needed_layers(spec)}
    return build_graph(kinds, read_weights(spec), input_shape=("n", *INPUT_SHAPE))


def build_graph(
    kinds: Mapping[str, int | str],
    weights: Weights,
    *,
    input_shape: Sequence[int | str],
    prefix: str = "",
    maps_last: bool = True,
) -> Graph:
    """Build convolutions, poolings and dense layers.

    Parameters
    ----------
    kinds
        By layer, in order, what it is (see `distspc.layers.VGG16`); those with weights are a convolution or a dense
        layer, by their kernel, with ReLU or softmax.
    weights
        Kernel and bias as Keras has them, by layer in the same order.
    input_shape
        Shape of the input, ``image``, channels second or last; a text is a length of any size.
    prefix
        Of the names of the layers' outputs, which are ``<prefix><layer>``; nodes are called ``node<prefix><layer>``.
    maps_last
        Whether maps are given with their channels last.

    Returns
    -------
    Graph
    """
    onnx = import_onnx()
    made, pairs = _Nodes(prefix, maps_last), iter(weights)
    if input_shape[1] != 3:
        made.put("Transpose", "first", perm=_TO_FIRST)
    for name, kind in kinds.items():
        made.add(name, kind, next(pairs)[1] if isinstance(kind, int) or kind == "softmax" else ())
    value = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, list(input_shape))
    output = onnx.ValueInfoProto(name=made.nodes[-1].output[0])  # what it is follows from the graph
    stored = [_elsewhere(name, values) for name, values in made.arrays.items()]
    graph = onnx.helper.make_graph(made.nodes, "vgg", [value], [output], initializer=stored)
    opset = onnx.helper.make_opsetid("", 17)
    return Graph(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), made.arrays)


_TO_FIRST, _TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


class _Nodes:
    """Nodes of a chain of layers, and the arrays that they take; maps between them have their channels first."""

    def __init__(self, prefix: str, maps_last: bool) -> None:
        self.prefix, self.maps_last = prefix, maps_last
        self.nodes: list[Any] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._at, self._is_map = "image", True

    def put(self, operation: str, output: str, *stored: str, **attributes: Any) -> None:
        """Add a node on what the last one gave."""
        make_node = import_onnx().helper.make_node
        self.nodes.append(make_node(operation, [self._at, *stored], [output], **attributes))
        self._at = output

    def add(self, name: str, kind: int | str, weights: Sequence[np.ndarray]) -> None:
        """Add the nodes of a layer; the last gives it, and has a name."""
        node = {"name": f"node{self.prefix}{name}"}
        stored = self._store(name, weights)
        if kind == "flatten":
            self.put("Transpose", f"{name}_last", perm=_TO_LAST)
        elif stored and weights[0].ndim == 4:
            self.put("Conv", f"{name}_sum", *stored, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        elif stored:
            self.put("Gemm", f"{name}_sum", *stored)
        self._is_map = self._is_map and kind != "flatten"
        turned = self._is_map and self.maps_last
        output, own = (f"{name}_first", {}) if turned else (self.prefix + name, node)
        if kind == "pool":
            self.put("MaxPool", output, kernel_shape=[2, 2], strides=[2, 2], **own)
        else:
            words = {"flatten": "Flatten", "dropout": "Identity", "softmax": "Softmax"}
            self.put(words.get(str(kind), "Relu"), output, **own)
        if turned:  # beside the chain, which goes on as it is
            self.put("Transpose", self.prefix + name, perm=_TO_LAST, **node)
            self._at = output

    def _store(self, name: str, weights: Sequence[np.ndarray]) -> list[str]:
        if not weights:
            return []
        kernel, bias = weights
        kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)) if kernel.ndim == 4 else kernel
        self.arrays |= {f"{name}_kernel": kernel, f"{name}_bias": bias}
        return [f"{name}_kernel", f"{name}_bias"]


def _elsewhere(name: str, values: np.ndarray) -> Any:
    """A stored tensor of a graph whose values the runtime gets apart."""
    onnx = import_onnx()
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=values.shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "apart"), ("offset", "0"), ("length", str(values.nbytes))):
        tensor.external_data.add(key=key, value=value)
    return tensor
