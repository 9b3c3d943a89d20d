"""Files of the data sets, downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distspc.datasets.catalogue import Download, find_dataset
from distspc.errors import InputError


def fetch(name: str, directory: str | Path) -> tuple[list[Path], tuple[str, ...]]:
    """Download what can be checked against a known digest; say what must be fetched by hand.

    A file that is there with the right digest is not fetched again, so a broken-off fetch goes on where it stopped,
    file by file. A file with another digest is replaced.

    Parameters
    ----------
    name
        Name of a data set.
    directory
        Where the files go.

    Returns
    -------
    files : list of Path
        What was fetched, or was there already.
    by_hand : tuple of str
        What must be fetched by hand, in sentences.

    Raises
    ------
    InputError
        If the data set is unknown, or a download fails; says which file to put where.
    """
    dataset, directory = find_dataset(name), Path(directory)
    return [_fetch(item, directory) for item in dataset.downloads], dataset.by_hand


def _fetch(item: Download, directory: Path) -> Path:
    import pooch

    settings: dict[str, Any] = {"known_hash": f"sha256:{item.digest}", "fname": item.name, "path": directory}
    try:
        return Path(pooch.retrieve(item.url, **settings))
    except (OSError, ValueError) as error:  # no network, an answer that is no file, or another file
        raise InputError(
            f"{item.url} cannot be fetched ({error}). Download it by hand and put it at {directory / item.name} "
            f"(SHA-256 {item.digest})"
        ) from error
