"""Fixtures of the tests of selections."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distspc.selection.selection import Selection, select_stimuli
from tests.selection.shared import BY, images, make_finished


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory) -> Path:
    """Give a store with distances that were computed from its activations."""
    return make_finished(tmp_path_factory.mktemp("study") / "study.zarr")


@pytest.fixture(scope="session")
def selection(tmp_path_factory) -> Selection:
    """Give a set of 4 x 6 images whose files are there."""
    folder, table = tmp_path_factory.mktemp("pictures"), images(200)
    rng = np.random.default_rng(0)
    for name in table.index:
        Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    table["file"] = [str(folder / f"{name}.png") for name in table.index]
    return select_stimuli(table, by=BY, per_cell=6, match=["norm:fc2"], gap=0.1)
