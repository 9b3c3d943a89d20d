"""The images of trial lists: which fill the streams, and where they are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from distspc.selection.options import ImageFiles
from distspc.selection.output import FILLERS, place_images
from distspc.selection.selection import Selection
from distspc.selection.trials.lists import TrialDesign, choose_fillers


def filler_images(selection: Selection, images: pd.DataFrame, design: TrialDesign, seed: int) -> pd.DataFrame:
    """Draw the images that fill the streams: none that is selected, nor nearly the same as a selected one.

    Parameters
    ----------
    selection
        The selected images.
    images
        All images that may be shown, by name, with ``file`` where there is one.
    design, seed
        Trials and their seed.
    """
    chosen = set(selection.stimuli.index)
    near = {a if b in chosen else b for a, b in selection.near if a in chosen or b in chosen}
    free = images[~images.index.isin(list(near | chosen))]
    return free.loc[choose_fillers(list(free.index), list(selection.stimuli.index), design, seed)]


def trial_paths(stimuli: pd.DataFrame, fillers: pd.DataFrame, directory: Path, images: ImageFiles) -> dict[str, str]:
    """Path of every image of the trials from the folder of the selection; fillers are copied or linked there too.

    Where images are neither copied nor linked, it is the file itself, or the name where no file is known.
    """
    if images != "none" and "file" in fillers.columns:
        places = place_images(fillers["file"], pd.Series(FILLERS, fillers.index), directory, images)
        return _texts(stimuli["stimulus"]) | _texts(places)
    return _texts(_files(stimuli)) | _texts(_files(fillers))


def _files(table: pd.DataFrame) -> pd.Series:
    return table["file"] if "file" in table.columns else table.index.to_series()


def _texts(paths: pd.Series) -> dict[str, str]:
    return {str(name): str(path) for name, path in paths.items()}
