"""Weight files: found or fetched, named by their digest, read by layer name."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from distspc.errors import InputError
from distspc.extraction.files.safe_files import is_archive, model_config, open_hdf5, parts
from distspc.io.digests import cache_folder, known_digest, read_digest, signature_of
from distspc.io.downloads import download
from distspc.io.files import irregularity

logger = logging.getLogger(__name__)

_RELEASE = "https://github.com/GKalliatakis/Keras-VGG16-places365/releases/download/v1.0/"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"

# Name of the weights: address, published hash. The hybrid1365 release publishes none: see `fetch_weights`.
DOWNLOADS: dict[str, tuple[str, str | None]] = {
    "hybrid1365": (_RELEASE + "vgg16-hybrid1365_weights_tf_dim_ordering_tf_kernels.h5", None),
    "imagenet": (
        _KERAS + "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        "md5:64373286793e3c8b2b4e3219cbf3544b",
    ),
}


def fetch_weights(name: str, digest: str | None = None) -> tuple[Path, str]:
    """Find published weights in the cache, or download them into it.

    Where no hash is published, the digest of the first download is written down beside the file, and every later
    use must match it; `digest` pins it from the start.

    Parameters
    ----------
    name
        ``hybrid1365`` or ``imagenet``.
    digest
        SHA-256 that the file must have (64 hexadecimal digits, with or without ``sha256:``).

    Returns
    -------
    path : pathlib.Path
    digest : str
        ``sha256:...``.

    Raises
    ------
    InputError
        If the file is not in the cache and cannot be downloaded (says which file to put where), or is another one.
    """
    url, published = DOWNLOADS[name]
    path = cache_folder() / url.rsplit("/", 1)[1]
    if not path.exists():
        way_out = f"set DISTSPC_CACHE to another folder, or download {url} yourself and give its path as `weights`"
        download(url, path, known_hash=published, what="the weights", way_out=way_out)
    found = file_digest(path)
    note = path.with_name(path.name + ".sha256")
    if digest is None and note.exists():
        digest = note.read_text(encoding="ascii", errors="replace").strip()
    check_digest(path, found, digest)
    if not note.exists():
        with suppress(OSError):  # a cache that others share may be read-only
            note.write_text(found + "\n", encoding="ascii")
    return path, found


def is_fetched(name: str) -> bool:
    """Whether published weights are in the cache."""
    return (cache_folder() / DOWNLOADS[name][0].rsplit("/", 1)[1]).exists()


def check_digest(path: str | os.PathLike[str], found: str, expected: str | None) -> None:
    """Refuse a weight file that is not the expected one.

    Parameters
    ----------
    path
        The file.
    found, expected
        Its digest, and the one it should have (None: any).

    Raises
    ------
    InputError
        If they differ.
    """
    if expected is not None and found.removeprefix("sha256:") != expected.strip().lower().removeprefix("sha256:"):
        raise InputError(
            f"weights {os.fspath(path)!r} have digest {found}, expected {expected}: "
            "remove the file to fetch it again, put the right one there, or correct the digest"
        )


def file_digest(path: str | os.PathLike[str], *, read: bool = False) -> str:
    """SHA-256 of a file, computed once for as long as nothing touches it (see `distspc.io.digests`).

    Parameters
    ----------
    path
        The file.
    read
        Whether its content is to be read in this process, whatever was known of it before: where it is used.

    Returns
    -------
    str
        ``sha256:`` and 64 hexadecimal digits.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        status = os.stat(path)
        if reason := irregularity(status):
            raise InputError(f"weights {os.fspath(path)!r}: {reason}")
        return (read_digest if read else known_digest)(os.fspath(path), signature_of(status))
    except OSError as error:
        raise InputError(f"weights {os.fspath(path)!r} cannot be read ({error.strerror})") from error


@contextmanager
def read_ahead(weights: str) -> Iterator[None]:
    """Read a weights file for its digest beside what is done in this block, such as an import; nothing of a name."""
    if not os.path.isfile(weights):
        yield
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(file_digest, weights, read=True)  # it is asked for again: what is wrong with it is said then
        yield


def is_whole_model(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds a model's architecture beside its weights.

    Parameters
    ----------
    path
        A ``.keras`` or ``.h5`` file.

    Returns
    -------
    bool

    Raises
    ------
    InputError
        If the file is damaged, or of neither kind.
    """
    if is_archive(path):
        return True
    with open_hdf5(path) as file:
        return "model_config" in file.attrs


def settle_dtypes(config: Any) -> bool:
    """Make every floating-point type in a model's description float32, in place.

    Parameters
    ----------
    config
        Description of a model, as Keras 3 serialises it.

    Returns
    -------
    bool
        Whether any was another.
    """
    changed = False
    for part in parts(config):
        dtype = part.get("dtype")
        name = dtype.get("config", {}).get("name") if isinstance(dtype, dict) else dtype
        if isinstance(name, str) and "float" in name and name != "float32" and "int8" not in name:
            part["dtype"], changed = "float32", True
    return changed


@contextmanager
def readable_by_keras_3(path: str) -> Iterator[str]:
    """Give a model file that Keras 3 can read: the same, or a copy without what only Keras 2 knew.

    Keras 2 gave DepthwiseConv2D an argument ``groups`` (always 1), and allowed ``/`` in names of layers, which becomes
    ``_``.

    Parameters
    ----------
    path
        A whole model.

    Yields
    ------
    str
        Path, to be used inside the context.
    """
    config = None if is_archive(path) else model_config(path)
    if config is None or not _without_keras_2(config):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="distspc-") as folder:
        copy = os.path.join(folder, "model.h5")
        shutil.copyfile(path, copy)
        import h5py

        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(config)
        yield copy


def _without_keras_2(config: dict[str, Any]) -> bool:
    """Take out of a model's description what only Keras 2 knew; whether there was any."""
    objects = list(parts(config))
    depthwise = [p["config"] for p in objects if p.get("class_name") == "DepthwiseConv2D" and "groups" in p["config"]]
    for part in depthwise:
        part.pop("groups")
    names = {p["name"] for p in objects if isinstance(p.get("name"), str) and "/" in p["name"]}
    if names:
        logger.info("layers whose names hold / are called with _ instead: %s", ", ".join(sorted(names)))
        renamed = _renamed(config, names)
        config.clear()
        config.update(renamed)
    return bool(depthwise or names)


def _renamed(config: Any, names: set[str]) -> Any:
    """A description with other names of layers, wherever they are referred to."""
    if isinstance(config, dict):
        return {key: _renamed(value, names) for key, value in config.items()}
    if isinstance(config, list):
        return [_renamed(value, names) for value in config]
    return config.replace("/", "_") if isinstance(config, str) and config in names else config


def layers_with_weights(path: str | os.PathLike[str]) -> list[str]:
    """Names of the layers of a Keras-2 weight file.

    Raises
    ------
    InputError
        If it is no such file.
    """
    with open_hdf5(path) as file:
        return _names(_weights_group(file, path), "layer_names")


def weight_shapes(path: str | os.PathLike[str], layer: str) -> list[tuple[int, ...]]:
    """Shapes of one layer's weights in a Keras-2 HDF5 file.

    Parameters
    ----------
    path
        The file.
    layer
        Name of the layer.

    Returns
    -------
    list of tuple of int
        Empty if the file does not have the layer.
    """
    with open_hdf5(path) as file:
        group = _weights_group(file, path)
        return [d.shape for d in _datasets(group, layer)] if layer in _names(group, "layer_names") else []


def read_weights(
    path: str | os.PathLike[str], wanted: Mapping[str, Sequence[tuple[int, ...]]]
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Read weights by layer name from a Keras-2 HDF5 file, one layer at a time.

    Parameters
    ----------
    path
        The file: attributes ``layer_names`` and ``weight_names``, at its root or in group ``model_weights``.
    wanted
        The shapes of each wanted layer's weights, in order (kernel, bias).

    Yields
    ------
    layer : str
    weights : list of np.ndarray
        float32.

    Raises
    ------
    InputError
        If a layer is missing, has other shapes, or holds anything but finite numbers; names the layer.
    """
    where = os.fspath(path)
    with open_hdf5(path) as file:
        group = _weights_group(file, path)
        there = _names(group, "layer_names")
        missing = [layer for layer in wanted if layer not in there]
        if missing:
            raise InputError(f"weights {where!r} lack {', '.join(missing)}; they have {', '.join(there)}")
        for layer, shapes in wanted.items():
            yield layer, _read_layer(group, layer, shapes, where)


def _read_layer(group: Any, layer: str, shapes: Sequence[tuple[int, ...]], where: str) -> list[np.ndarray]:
    try:
        datasets = _datasets(group, layer)
        found = [tuple(d.shape) for d in datasets]
        if found != [tuple(shape) for shape in shapes]:
            raise InputError(f"weights {where!r}: layer {layer!r} has shapes {found}, expected {list(shapes)}")
        if any(d.dtype.kind != "f" or d.external or d.is_virtual or d.file != group.file for d in datasets):
            raise InputError(f"weights {where!r}: layer {layer!r} does not hold floating-point numbers of its own")
        values = [np.asarray(d[()], dtype=np.float32) for d in datasets]
    except (KeyError, OSError, RuntimeError) as error:
        raise InputError(f"weights {where!r}: layer {layer!r} cannot be read ({error})") from error
    if not all(np.isfinite(value).all() for value in values):
        raise InputError(f"weights {where!r}: layer {layer!r} holds NaN or infinity")
    return values


def _weights_group(file: Any, path: str | os.PathLike[str]) -> Any:
    for group in (file, file.get("model_weights")):
        if group is not None and ("layer_names" in group.attrs or "layer_names0" in group.attrs):
            return group
    raise InputError(
        f"weights {os.fspath(path)!r} do not name their layers (no attribute 'layer_names'): expected a Keras-2 "
        "weight file (.h5), or a whole model (.keras, .h5); a .weights.h5 of Keras 3 comes without its model: save that"
    )


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names, which Keras splits over numbered attributes when it is long."""
    if attribute in group.attrs:
        raw = list(group.attrs[attribute])
    else:
        raw, i = [], 0
        while f"{attribute}{i}" in group.attrs:
            raw += list(group.attrs[f"{attribute}{i}"])
            i += 1
    return [name.decode() if isinstance(name, bytes) else str(name) for name in raw]


def _datasets(group: Any, layer: str) -> list[Any]:
    import h5py

    datasets = [group[layer][name] for name in _names(group[layer], "weight_names")]
    if not all(isinstance(d, h5py.Dataset) for d in datasets):
        raise KeyError(f"weights of {layer!r} are not arrays")
    return datasets
