"""The image table of activations that somebody already has: images listed, their files not looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from distspc.images.inventory import extra_columns
from distspc.images.listing import ImageSource, escape_undecodable
from distspc.io.files import digest_of
from distspc.store.format.chunks import ROWS_PER_CHUNK
from distspc.store.store import Store

_TEXTS = ("role", "number", "file", "digest", "category")
_NUMBERS = ("width", "height", "nbytes", "modified")


def listed_digest(images: Sequence[ImageSource]) -> str:
    """Name a list of images by their ids and categories.

    Parameters
    ----------
    images
        The images.

    Returns
    -------
    str
        ``listed:sha256:...``.
    """
    return "listed:" + digest_of(json.dumps([[image.id, _category(image)] for image in images]).encode())


def is_written(store: Store) -> bool:
    """Whether a store's image table is whole."""
    images, names = store.images, ("image", *_TEXTS, *_NUMBERS)
    return images.exists() and all(images.has(name) and images.done(name).all() for name in names)


def write_listed(store: Store, images: Sequence[ImageSource], digest: str) -> None:
    """Write the image table of images whose files are not looked at; what is there stays.

    Parameters
    ----------
    store
        The store.
    images
        The images, targets first.
    digest
        What the recipe calls them.
    """
    ids = [escape_undecodable(image.id) for image in images]
    store.images.allocate(
        coords={"image": ids}, chunks={"image": min(ROWS_PER_CHUNK, len(ids))}, recipe={"images": digest}
    )
    columns: dict[str, Any] = {
        "role": [image.role for image in images],
        "number": [image.number for image in images],
        "file": [escape_undecodable(image.file) for image in images],
        "digest": [""] * len(ids),
        "category": [_category(image) for image in images],
        **{name: np.full(len(ids), -1) for name in _NUMBERS},
    }
    for name, values in columns.items():
        if not store.images.done(name).all():
            store.images.write(name, values)
    for name, texts in extra_columns(images).items():
        store.images.write_column("image", name, texts)


def _category(image: ImageSource) -> str:
    return image.columns.get("category", "").strip()
