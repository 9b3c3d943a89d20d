"""Files of the data sets, downloaded."""

from __future__ import annotations

from pathlib import Path

from distspc.datasets.catalogue import find_dataset
from distspc.io.downloads import download


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
    files = [
        download(item.url, directory / item.name, known_hash=f"sha256:{item.digest}", what=item.name)
        for item in dataset.downloads
    ]
    return files, dataset.by_hand
