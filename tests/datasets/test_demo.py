"""The demo's photographs and crops: the same every time, and a study that can be read."""

import numpy as np
import pytest

from distspc import Study
from distspc.datasets.demo import PATCH_PIXELS, patches, photographs, write_demo
from distspc.errors import InputError


def test_crops_are_the_same_for_a_seed():
    first, again, other = (list(patches(2, seed=seed)) for seed in (0, 0, 1))
    assert all(crop.shape == (PATCH_PIXELS, PATCH_PIXELS, 3) for crop in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert len(first) == 2 * sum(1 for _ in photographs())


def test_the_demo_is_a_study(tmp_path):
    study = Study.from_file(write_demo(tmp_path / "demo"))
    assert study.scores is not None
    assert study.images is not None
    assert len(list(study.images.targets.glob("*"))) > 10


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.h5"):
        write_demo(tmp_path / "demo", tmp_path / "none.h5")
