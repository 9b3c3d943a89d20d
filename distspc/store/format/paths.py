"""Paths in the store: from the folder that it lies in, so that a study can move with its images.

A path is kept relative where it is below the folder of the store, or below the folder of that one (a store in a folder
of its own, beside those of the images); other paths are absolute, and are those of one machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_DEEP = 3
"""Parts of a folder's path above which what is below it belongs together: more than ``/home/somebody``."""


def folder_of(store: Path) -> str:
    """Folder that a store lies in, also where the store is a link."""
    return os.path.dirname(os.path.realpath(store))


def kept_paths(paths: Iterable[str], store: Path) -> list[str]:
    """Paths as a store keeps them.

    Parameters
    ----------
    paths
        Absolute paths; others stay as they are.
    store
        Path of the store.
    """
    folder = folder_of(store)
    above = os.path.dirname(folder)
    beginnings = {os.path.join(folder, ""): ""}
    if len(Path(above).parts) > _DEEP:
        beginnings[os.path.join(above, "")] = "../"
    return [_shortened(path, beginnings) for path in paths]


def _shortened(path: str, beginnings: dict[str, str]) -> str:
    for beginning, short in beginnings.items():
        if path.startswith(beginning):
            return short + path[len(beginning) :]
    return path


def absolute_paths(paths: Iterable[str], store: Path) -> list[str]:
    """Paths that a store keeps, from where it is now."""
    folder = folder_of(store)
    here, above = os.path.join(folder, ""), os.path.join(os.path.dirname(folder), "")
    return [
        path if not path or os.path.isabs(path) else above + path[3:] if path.startswith("../") else here + path
        for path in paths
    ]
