"""Fixtures of the tests of this folder."""

import numpy as np
import pandas as pd
import pytest

from distspc.testing import stores
from tests.memorability.shared import LAYERS, N_FILLERS, N_TARGETS


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "study.zarr"
    ids = stores.image_ids(N_TARGETS, N_FILLERS)
    stores.write_image_table(path, ids, N_TARGETS)
    stores.write_measures(path, ids, N_TARGETS, LAYERS, seeds=(0, 1))
    return path


@pytest.fixture
def scores_file(tmp_path):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"im_ind": np.arange(1, N_TARGETS + 1), "hit": rng.random(N_TARGETS)})
    table["fa"] = rng.random(N_TARGETS) / 4
    table["corrected_hit"] = table["hit"] - table["fa"]
    table["comment"] = "a, b"
    table.to_csv(tmp_path / "scores.csv", index=False)
    return tmp_path / "scores.csv"
