"""A selection as files: tables, images by cell, a page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from distspc.errors import InputError
from distspc.io.files import digest_of, os_reason, written_whole
from distspc.messages import counted, shorten
from distspc.selection.options import ImageFiles
from distspc.selection.page import write_page
from distspc.selection.selection import Selection

FILLERS = "fillers"
"""Folder of the images that fill the streams of trials."""


def check_folder(directory: str | Path) -> Path:
    """Return a folder to write a selection to.

    Raises
    ------
    InputError
        If there is something in it already, or it is no folder.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise InputError(f"--output {directory} is a file: name a folder")
    if directory.is_dir() and any(directory.iterdir()):
        raise InputError(f"--output {directory} is not empty: name a new folder, so that no two sets are mixed")
    return directory


def write_selection(
    selection: Selection, directory: str | Path, *, images: ImageFiles = "copy", title: str = "Stimuli"
) -> pd.DataFrame:
    """Write ``stimuli.csv``, ``balance.csv``, the images by cell and the page ``selection.html``.

    Parameters
    ----------
    selection
        As `select_stimuli` gives it.
    directory
        New or empty folder.
    images
        Whether the images are copied, linked (symbolic links), or neither. Without a column ``file`` there are none.
    title
        Heading of the page.

    Returns
    -------
    DataFrame
        The stimuli as written, with a column ``stimulus``: the path of the image in the folder, empty without.

    Raises
    ------
    InputError
        If the folder is not empty, or an image file is not there.
    """
    directory = check_folder(directory)
    stimuli = selection.stimuli.assign(stimulus="")
    if images != "none" and "file" in stimuli.columns:
        stimuli["stimulus"] = place_images(stimuli["file"], stimuli["cell"], directory, images)
    write_csv(stimuli, directory / "stimuli.csv", index=True)
    write_csv(selection.balance, directory / "balance.csv")
    write_page(selection, directory / "selection.html", title=title)
    return stimuli


def write_csv(table: pd.DataFrame, path: Path, *, index: bool = False) -> None:
    """Write a table whole, or not at all."""
    with written_whole(path) as beside:
        table.to_csv(beside, index=index)


def place_images(files: pd.Series, folders: pd.Series, directory: Path, images: ImageFiles) -> pd.Series:
    """Copy or link image files into folders; returns their paths from `directory`, by image.

    Raises
    ------
    InputError
        If a file is not there; nothing is written then.
    """
    missing = [str(file) for file in files if not Path(str(file)).is_file()]
    if missing:
        raise InputError(
            f"{counted(len(missing), 'image file', 'is')} not there: {shorten(missing, most=3)}; put them back, "
            "or take --images none for the tables alone"
        )
    places = _places(files, folders)
    for file, place in zip(files, places, strict=True):
        _place(Path(str(file)).resolve(), directory / place, images)
    return places


def _places(files: pd.Series, folders: pd.Series) -> pd.Series:
    """Path of each image: its folder and file name, with a digest of its path where two would be one."""
    names = pd.Series([Path(str(file)).name for file in files], index=files.index)
    keys = folders.astype(str) + "/" + names.str.casefold()
    twice = keys.duplicated(keep=False)
    digests = pd.Series([digest_of(str(file).encode())[7:15] for file in files], index=files.index)
    return (folders.astype(str) + "/" + names.where(~twice, digests + "-" + names)).astype(str)


def _place(file: Path, place: Path, images: ImageFiles) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        if images == "link":
            place.symlink_to(file)
        else:
            shutil.copyfile(file, place)
    except OSError as error:
        raise InputError(f"image {file} {os_reason(error)}, or {place} cannot be written") from error
