from dataclasses import replace

import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.selection.output import write_selection
from distspc.selection.trials.images import filler_images, trial_paths
from distspc.selection.trials.lists import TrialDesign

DESIGN = TrialDesign(images_per_trial=3, durations=(34,), blocks=1, subjects=2)


def shown(selection) -> pd.DataFrame:
    table = selection.candidates.table
    folder = selection.stimuli["file"].iloc[0].rpartition("/")[0]
    return pd.DataFrame({"file": [f"{folder}/{name}.png" for name in table.index]}, index=table.index)


def test_fillers_are_neither_selected_nor_nearly_so(selection):
    chosen = str(selection.stimuli.index[0])
    copies = [str(name) for name in selection.candidates.table.index if name not in selection.stimuli.index][:100]
    fillers = filler_images(
        replace(selection, near=tuple((chosen, copy) for copy in copies)), shown(selection), DESIGN, 0
    )
    assert len(fillers) == 12 * 2 + 12 * 3
    assert not set(fillers.index) & {*copies, *selection.stimuli.index}


def test_too_few_images_beside_the_selected_ones(selection):
    with pytest.raises(InputError, match="there are 6: lower --images-per-trial"):
        filler_images(selection, shown(selection).loc[[*selection.stimuli.index, *_others(selection, 6)]], DESIGN, 0)


def _others(selection, n):
    return [name for name in selection.candidates.table.index if name not in selection.stimuli.index][:n]


def test_paths_lead_to_files_in_the_folder(selection, tmp_path):
    stimuli = write_selection(selection, tmp_path / "set")
    fillers = filler_images(selection, shown(selection), DESIGN, 0)
    paths = trial_paths(stimuli, fillers, tmp_path / "set", "copy")
    assert len(paths) == 24 + len(fillers)
    assert all((tmp_path / "set" / path).is_file() for path in paths.values())


def test_without_files_images_are_named(selection, tmp_path):
    fillers = filler_images(selection, shown(selection)[[]], DESIGN, 0)
    paths = trial_paths(selection.stimuli.drop(columns="file"), fillers, tmp_path, "copy")
    assert all(path == name for name, path in paths.items())
