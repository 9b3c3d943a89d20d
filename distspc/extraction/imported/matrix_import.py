"""Activations that somebody already has as matrices, (images, features): taken over into the store by name."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distspc.errors import InputError
from distspc.extraction.files.weights import file_digest
from distspc.extraction.imported.image_table import is_written, listed_digest, write_listed
from distspc.extraction.imported.matrices import Matrix, MatrixSource, open_matrix
from distspc.extraction.imported.row_names import match_rows
from distspc.images.listing import ImageSource
from distspc.io.files import digest_of
from distspc.messages import counted, shorten
from distspc.store.activations import allocate_layers, images_of, missing_chunks, missing_layers, write_rows
from distspc.store.format.schema import StorePath
from distspc.store.notices import Notice, keep_notices
from distspc.store.store import Store
from distspc.tasks import task, task_key, tokenize

if TYPE_CHECKING:
    from dask.delayed import Delayed


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MatrixSet:
    """The images of a study, and the matrices that have a row for each.

    Attributes
    ----------
    images : sequence of ImageSource
        Targets first; their files need not be there.
    by_layer : mapping of str to MatrixSource
        By layer, the matrix.
    """

    images: Sequence[ImageSource]
    by_layer: Mapping[str, MatrixSource]


def import_matrices(
    store: StorePath, *, images: Sequence[ImageSource], matrices: Mapping[str, MatrixSource]
) -> list[Delayed]:
    """Build the tasks that take over features that others made. Writes the image table at once.

    Parameters
    ----------
    store
        Path of the store.
    images
        The images, targets first; their files need not be there.
    matrices
        By layer, the matrix whose rows are matched to the images by name (see `match_rows`).

    Returns
    -------
    list of Delayed
        One for each layer and chunk of images; empty if all is there. Each gives its number of images.

    Raises
    ------
    InputError
        If a matrix cannot be read, or an image has no row or two.
    StoreMismatchError
        If the store holds other activations.
    """
    store, found = Store(store), MatrixSet(images, matrices)
    wanted = missing(store, found, list(matrices))
    if not wanted:
        return []
    prepare(store, found, wanted)
    return tasks(store, found, wanted)


def check(matrices: MatrixSet) -> None:
    """Open every matrix and find the images' rows.

    Raises
    ------
    InputError
        As `import_matrices`.
    """
    for layer, source in matrices.by_layer.items():
        matrix, rows = _matched(matrices, layer)
        n_others = len(matrix.names) - len(rows)
        if n_others:
            logger.info("%s: %s to no image of the study", source.file, counted(n_others, "row", "belongs"))


def missing(store: Store, matrices: MatrixSet, layers: Sequence[str]) -> list[str]:
    """Layers of which activations are missing, whole or in part; writes nothing.

    Raises
    ------
    InputError, StoreMismatchError
        As `import_matrices`.
    """
    digest = listed_digest(matrices.images)
    recipes = {layer: _recipe(digest, *_matched(matrices, layer), _content(store, matrices, layer)) for layer in layers}
    if store.images.exists():
        store.images.refuse_other_recipe({"images": digest})
    if not is_written(store):
        return list(layers)
    return [layer for layer in layers if missing_layers(store, [layer], recipes[layer])]


def prepare(store: Store, matrices: MatrixSet, layers: Sequence[str]) -> None:
    """Write the image table, and allocate the layers."""
    digest = listed_digest(matrices.images)
    write_listed(store, matrices.images, digest)
    for layer in layers:
        (matrix, rows), content = _matched(matrices, layer), _content(store, matrices, layer)
        allocate_layers(store, {layer: matrix.shape}, _recipe(digest, matrix, rows, content), matrix.storage)
        store.layer(layer).set_attributes(source=content)
        keep_notices(store.layer(layer), "rows", _unmatched(matrices.by_layer[layer], layer, matrix, rows))


def tasks(store: Store, matrices: MatrixSet, layers: Sequence[str]) -> list[Delayed]:
    """Build the tasks of layers that are prepared."""
    built, take = [], task(_import)
    for layer in layers:
        source, (_, rows) = matrices.by_layer[layer], _matched(matrices, layer)
        key = partial(task_key, "import", layer, tokenize(str(store), source, layer))
        for i in missing_chunks(store, [layer]):
            built.append(take(store, source, layer, i, rows[images_of(store, layer, i)], dask_key_name=key(i)))
    return built


def _matched(matrices: MatrixSet, layer: str) -> tuple[Matrix, np.ndarray]:
    """A layer's matrix, and the row of every image."""
    source = matrices.by_layer[layer]
    matrix = open_matrix(source, layer)
    return matrix, match_rows(matrix.names, matrices.images, where=f"activations {source.file!r}")


def _unmatched(source: MatrixSource, layer: str, matrix: Matrix, rows: np.ndarray) -> list[Notice]:
    """What is said of rows that are no image's."""
    others = np.delete(np.asarray(matrix.names, dtype=object), rows)
    if not others.size:
        return []
    names = shorten([str(name) for name in others], most=3)
    n = counted(len(others), "row", "is", of=len(matrix.names))
    file = os.path.basename(source.file)
    return [Notice(f"{file} ({layer}): {n} of no image of the study, and not used: {names}.")]


def _content(store: Store, matrices: MatrixSet, layer: str) -> dict[str, Any]:
    """Size, time of change and digest of a layer's file, read again only where these differ; {} of a folder (Zarr)."""
    file, kept = matrices.by_layer[layer].file, {}
    if os.path.isdir(file):
        return {}
    if store.layer(layer).exists():
        kept = store.layer(layer).attributes.get("source", {})
    status = os.stat(file)
    signature = [status.st_size, status.st_mtime_ns]
    return kept if kept.get("signature") == signature else {"signature": signature, "digest": file_digest(file)}


def _recipe(images: str, matrix: Matrix, rows: np.ndarray, content: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a layer: the images, the matrix's type, shape and three rows, and the digest of a file."""
    some = matrix.rows(rows[[0, len(rows) // 2, len(rows) - 1]])
    return {
        "architecture": "imported",
        "images": images,
        "dtype": matrix.storage,
        "shape": list(matrix.shape),
        "rows": digest_of(some.tobytes()),
        **({"file": content["digest"]} if content else {}),
    }


def _import(store: Store, source: MatrixSource, layer: str, chunk: int, rows: np.ndarray) -> int:
    """Task: one chunk of images of a layer from a matrix."""
    matrix = open_matrix(source, layer)
    with np.errstate(over="ignore"):  # named below
        values = matrix.rows(rows).reshape(len(rows), math.prod(matrix.shape)).astype(matrix.storage)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        raise InputError(
            f"activations {source.file!r}: row {matrix.names[rows[bad[0]]]!r} of {layer} holds NaN, infinity or "
            f"numbers beyond {matrix.storage}: make it again, or leave the image out"
        )
    write_rows(store, layer, images_of(store, layer, chunk), values)
    return len(rows)
