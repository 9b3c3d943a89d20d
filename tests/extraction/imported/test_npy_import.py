"""Tests of: activations that somebody already has: the authors' layout of .npy files, taken over into the store."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from distspc.errors import InputError, StoreMismatchError
from distspc.extraction.imported import npy_import
from distspc.store.store import Store
from tests.extraction.shared import run

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def write_npy(folder, layer, shape, n_targets=5, n_fillers=2, dtype=np.float32):
    values = np.random.default_rng(0).random((n_targets + n_fillers, *shape)).astype(dtype)
    for role, start, n in (("Targets", 0, n_targets), ("Fillers", n_targets, n_fillers)):
        path = folder / layer / role
        path.mkdir(parents=True)
        for i in range(n):
            np.save(path / f"{i + 1}.npy", values[start + i][None])
    return values


def take(tmp_path, layers=("block5_pool", "fc2")):
    return npy_import.import_activations(tmp_path / "s.zarr", directory=tmp_path / "Activations", layers=layers)


def test_the_authors_layout_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr("distspc.store.format.chunks.IMAGES_PER_CHUNK", 3)
    pool = write_npy(tmp_path / "Activations", "block5_pool", (7, 7, 512))
    fc2 = write_npy(tmp_path / "Activations", "fc2", (4096,))
    tasks = take(tmp_path)
    assert len(tasks) == 6
    run(tasks[:-1])
    (left,) = take(tmp_path)
    run([left])
    assert take(tmp_path) == []
    results = Store(tmp_path / "s.zarr").open()
    np.testing.assert_array_equal(results["activations/block5_pool"]["activation"], pool.reshape(7, -1))
    np.testing.assert_array_equal(results["activations/fc2"]["activation"], fc2)
    assert results["activations/block5_pool"].attrs["shape"] == [7, 7, 512]
    assert results["images"]["role"].values.tolist() == ["target"] * 5 + ["filler"] * 2
    assert results["images"]["number"].values.tolist() == [1, 2, 3, 4, 5, 1, 2]


def test_flat_files_float16_no_fillers_and_other_layers_are_taken_too(tmp_path):
    folder = tmp_path / "Activations" / "mine" / "Targets"
    folder.mkdir(parents=True)
    for i in (1, 2):
        np.save(folder / f"{i}.npy", np.full(6, i, np.float16))
    run(take(tmp_path, ["mine"]))
    found = Store(tmp_path / "s.zarr").layer("mine").read("activation")
    assert found.dtype == np.float16
    assert found.tolist() == [[1] * 6, [2] * 6]


class Harm:
    def __reduce__(self):
        return (os.mkdir, ("/tmp/never-made-by-a-test",))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "3.npy").unlink(), r"3\.npy is missing \(of 4 files\)"),
        (lambda f: (f / "5.npy").unlink(), "fc2 has 4 targets and 2 fillers, block5_pool has 5 and 2"),
        (lambda f: shutil.rmtree(f), "there is no folder"),
        (lambda f: [p.unlink() for p in f.iterdir()], r"holds no files 1\.npy, 2\.npy"),
        (lambda f: np.save(f / "1.npy", np.zeros((1, 4097), np.float32)), r"2\.npy' is float32 \(1, 4096\), expected"),
        (lambda f: np.save(f / "4.npy", np.zeros((1, 4097), np.float32)), r"4\.npy' is float32 \(1, 4097\), expected"),
        (lambda f: np.save(f / "4.npy", np.zeros((1, 4096), np.float16)), r"4\.npy' is float16 \(1, 4096\), expected"),
        (lambda f: np.save(f / "4.npy", np.zeros((1, 4096), np.int64)), r"4\.npy' holds int64, expected float32"),
        (lambda f: (f / "4.npy").write_bytes(b""), r"4\.npy' is not a whole \.npy file"),
        (lambda f: (f / "4.npy").write_bytes((f / "3.npy").read_bytes()[:999]), r"4\.npy' is not a whole \.npy file"),
        (
            lambda f: np.save(f / "4.npy", np.array([Harm()], dtype=object), allow_pickle=True),
            r"4\.npy' is not a whole \.npy file of numbers",
        ),
    ],
)
def test_wrong_files_are_named_and_pickles_never_load(tmp_path, spoil, said):
    write_npy(tmp_path / "Activations", "block5_pool", (7, 7, 512))
    write_npy(tmp_path / "Activations", "fc2", (4096,))
    spoil(tmp_path / "Activations" / "fc2" / "Targets")
    with pytest.raises(InputError, match=said):
        run(take(tmp_path))
    assert not Path("/tmp/never-made-by-a-test").exists()


def test_another_number_of_images_is_refused(tmp_path):
    write_npy(tmp_path / "Activations", "fc2", (4096,))
    run(take(tmp_path, ["fc2"]))
    np.save(tmp_path / "Activations" / "fc2" / "Targets" / "6.npy", np.zeros((1, 4096), np.float32))
    with pytest.raises(StoreMismatchError, match=r"imported:5:2.*now .*imported:6:2"):
        take(tmp_path, ["fc2"])
