"""The demo's photographs and crops: the same every time, and a study that can be read."""

import numpy as np
import pytest

from distspc import Study
from distspc.datasets.demo import PATCH_PIXELS, patches, photographs, write_demo
from distspc.errors import InputError
from distspc.testing.onnx_vgg16 import write_vgg16


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


def test_another_network_is_taken_at_the_ends_of_its_blocks(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    names = [name for i in range(9) for name in (f"block{i}", f"end{i}pool") if not name.endswith(("7pool", "8pool"))]
    weights, n_in = {}, 3
    for name in names:
        if name.startswith("block"):
            weights[name] = (rng.normal(size=(3, 3, n_in, 2)).astype("f4"), np.zeros(2, "f4"))
            n_in = 2
    path = write_vgg16(tmp_path / "m.onnx", weights, layers=names, prefix="/net/")
    study = Study.from_file(write_demo(tmp_path / "demo", path))
    assert study.layers == tuple(f"/net/block{i}" for i in (0, 2, 4, 6, 8))
    assert study.model.weights == str(path)


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.h5"):
        write_demo(tmp_path / "demo", tmp_path / "none.h5")
