"""ONNX files: read, named by their digest with all that lies beside them, never followed elsewhere."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distspc.errors import InputError
from distspc.extraction.files.weights import file_digest


def import_onnx(needed_by: str = "an .onnx file") -> Any:
    """Import the package that reads and edits ONNX files.

    Parameters
    ----------
    needed_by
        What is said to need it.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise InputError(f"{needed_by} needs more packages ({error}): pip install 'distspc[onnx]'") from error
    return onnx


def read_model(path: str) -> Any:
    """Read a model without the data that it keeps in other files.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    InputError
        If it cannot be read, or is none.
    """
    onnx = import_onnx()
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise InputError(f"weights {path!r} cannot be read ({error.strerror})") from error
    except Exception as error:  # the parser raises errors of its own
        raise InputError(
            f"weights {path!r} are not a whole ONNX file ({type(error).__name__}); download or export it again"
        ) from error
    if not model.graph.node:
        raise InputError(f"weights {path!r} are not a whole ONNX file (it has no operations); export it again")
    return model


def model_digest(path: str, *, read: bool = False) -> str:
    """SHA-256 of a file; of the digests of all files, where the model keeps data in others beside it.

    Parameters
    ----------
    path
        The file.
    read
        Whether all are to be read in this process (see `distspc.extraction.files.weights.file_digest`).

    Raises
    ------
    InputError
        If the file cannot be read, or refers to data that are not in a plain file beside it.
    """
    found = file_digest(path, read=read)
    beside = external_files(path)
    if not beside:
        return found
    listed = [found, *(f"{name} {file_digest(Path(path).parent / name, read=read)}" for name in beside)]
    return "sha256:" + hashlib.sha256("\n".join(listed).encode()).hexdigest()


def external_files(path: str) -> list[str]:
    """Names of the files beside a model that hold its data.

    Raises
    ------
    InputError
        If it refers to anything else than plain files in its own folder.
    """
    names = _names_of_data(path, file_digest(path))
    folder = Path(path).parent
    for name in names:
        if Path(name).name != name or name in ("", ".", "..") or (folder / name).is_symlink():
            raise InputError(
                f"model {path!r} keeps data in {name!r}, which is not a file beside it: export it with its data "
                "inside, or in a file of its own folder"
            )
        if not (folder / name).is_file():
            raise InputError(f"model {path!r} keeps data in {name!r}, which is not there: put it into {str(folder)!r}")
    return names


@functools.lru_cache(maxsize=8)
def _names_of_data(path: str, digest: str) -> list[str]:
    """Names that a model gives to files of its data; it is read once for as long as its digest is the same."""
    return sorted({location for tensor in _tensors(read_model(path).graph) if (location := _location(tensor))})


def _location(tensor: Any) -> str:
    """Name of the file that holds a tensor's values; empty where the tensor holds them."""
    external = tensor.data_location == import_onnx().TensorProto.EXTERNAL
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "?") if external else ""


def _tensors(graph: Any) -> Iterator[Any]:
    """All stored tensors of a graph and of the graphs inside it."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)
