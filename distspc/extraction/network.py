"""A network of any kind, built once per process: all requested layers of a batch in one pass."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

from distspc.extraction.backends.base import Backend, NetworkLayer, NetworkSize
from distspc.extraction.engines import BackendName
from distspc.extraction.network_spec import NetworkSpec
from distspc.extraction.pooling import Prefix, n_prefix_tokens, pool, pooled_shape
from distspc.extraction.preprocessing import preprocess

_CLASSES: dict[BackendName, str] = {"keras": "KerasNetwork", "onnx": "OnnxNetwork", "torch": "TimmNetwork"}
_DEVICE = threading.Lock()  # one batch at a time: a second thread of the worker decodes and writes meanwhile


def _backend(spec: NetworkSpec) -> Any:
    """The module of a network's kind, imported where it is needed: no kind needs the others' packages."""
    return importlib.import_module(f"distspc.extraction.backends.{spec.backend}")


def _prefix(spec: NetworkSpec) -> Prefix | None:
    """Tokens before those of patches, as the study or else the network says; not asked where nothing is pooled."""
    if spec.prefix_tokens is not None or not spec.pooling:
        return spec.stated_prefix
    found: Prefix | None = _backend(spec).prefix(spec)
    return found


@functools.lru_cache(maxsize=4)
def network_size(spec: NetworkSpec) -> NetworkSize:
    """Shapes of what is kept of the requested layers and operations of a forward pass.

    Loads the network, but for VGG-16.

    Parameters
    ----------
    spec
        The network.

    Returns
    -------
    NetworkSize

    Raises
    ------
    InputError
        If the network has no such layer (lists those it has, and names near misses), or a layer not what its pooling
        needs.
    """
    size: NetworkSize = _backend(spec).measure(spec)
    pooling, prefix, shapes = dict(spec.pooling), _prefix(spec), size.shapes
    words = {layer: pooling.get(layer, "none") for layer in shapes}
    return replace(
        size,
        shapes={layer: pooled_shape(shape, words[layer]) for layer, shape in shapes.items()},
        prefix_tokens={layer: n_prefix_tokens(layer, shape, words[layer], prefix) for layer, shape in shapes.items()},
    )


def layer_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Shape of what is kept of each requested layer's output for one image (see `network_size`).

    Parameters
    ----------
    spec
        The network.

    Returns
    -------
    dict
        By layer, (row, column, channel), (token, channel) or (unit,); (channel,) where it is pooled.
    """
    return dict(network_size(spec).shapes)


def list_layers(spec: NetworkSpec) -> list[NetworkLayer]:
    """All layers of a network, in order; those that the spec asks for do not matter.

    Parameters
    ----------
    spec
        The network.

    Returns
    -------
    list of NetworkLayer
        Name, kind, shape and number of features.

    Raises
    ------
    InputError
        If the network cannot be loaded.
    """
    layers: list[NetworkLayer] = _backend(spec).list_layers(spec)
    return layers


def layer_table(spec: NetworkSpec) -> pd.DataFrame:
    """All layers of a network as a table.

    Parameters
    ----------
    spec
        The network.

    Returns
    -------
    pd.DataFrame
        Columns ``name``, ``kind``, ``shape`` (of the output for one image) and ``features``.
    """
    import pandas as pd

    rows = [
        (one.name, one.kind, " x ".join("any" if n is None else str(n) for n in one.shape), one.n_features or "any")
        for one in list_layers(spec)
    ]
    return pd.DataFrame(rows, columns=["name", "kind", "shape", "features"])


class Network:
    """A network that is ready to run, cut at its deepest requested layer; not to be pickled.

    Parameters
    ----------
    spec
        Which.
    n_threads
        Threads of the device, where this process has not settled them yet; None leaves them.

    Attributes
    ----------
    spec : NetworkSpec
    input_size : tuple of int
        Height and width of the input in pixels.
    """

    def __init__(self, spec: NetworkSpec, n_threads: int | None = None) -> None:
        self.spec = spec
        module = _backend(spec)
        self._backend: Backend = getattr(module, _CLASSES[spec.backend])(spec, n_threads)
        self._prepare: Callable[[np.ndarray], np.ndarray] = (
            module.own_preprocessing(spec)
            if spec.preprocessing == "auto"
            else functools.partial(preprocess, preprocessing=spec.preprocessing)
        )
        self.input_size = self._backend.input_size
        self._pooling, self._prefix = dict(spec.pooling), _prefix(spec)

    def __reduce__(self) -> Any:
        raise TypeError("a Network is built where it runs; send its NetworkSpec instead")

    def activations(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run one batch forward.

        Parameters
        ----------
        images
            uint8 (n, height, width, 3), RGB, resized.

        Returns
        -------
        dict
            By layer, (n, *shape of what is kept), in the precision of the arithmetic; maps have their channels last.
        """
        batch = self._prepare(images)
        with _DEVICE:
            outputs = dict(self._backend.run(batch))
        return {layer: self._kept(layer, values) for layer, values in outputs.items()}

    def _kept(self, layer: str, values: np.ndarray) -> np.ndarray:
        word = self._pooling.get(layer, "none")
        return pool(values, word, n_prefix_tokens(layer, values.shape[1:], word, self._prefix))


@functools.lru_cache(maxsize=1)
def _cached_network(spec: NetworkSpec, n_threads: int | None) -> Network:
    return Network(spec, n_threads)


_BUILDING = threading.Lock()


def load_network(spec: NetworkSpec, n_threads: int | None = None) -> Network:
    """Build a network, or give the one that this process has built before; one is kept at a time.

    Parameters
    ----------
    spec
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
        return _cached_network(spec, n_threads)


def release_network() -> None:
    """Forget the network that `load_network` keeps, so that its memory can be used for something else."""
    with _BUILDING:
        _cached_network.cache_clear()
    for name in _CLASSES:
        module = sys.modules.get(f"distspc.extraction.backends.{name}")
        if module is not None:
            module.release()
