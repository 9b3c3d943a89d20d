"""Fixtures of the tests of this folder."""

from __future__ import annotations

import pytest

from distspc.testing.stores import make_store
from tests.distances.shared import CHUNKS, DUPLICATES, N_IMAGES, N_TARGETS


@pytest.fixture(scope="module")
def relu_store(tmp_path_factory):
    path = tmp_path_factory.mktemp("distances") / "s.zarr"
    fillers = N_IMAGES - N_TARGETS
    made = make_store(
        path, n_targets=N_TARGETS, n_fillers=fillers, layers={"fc2": 1400}, duplicates=DUPLICATES, chunks=CHUNKS
    )
    return path, made["fc2"]
