"""Units of a layer: every unit that a seed samples, in files that say what they depend on."""

from dataclasses import replace

import numpy as np
import pytest

from distspc.kernels.sparse_coding.training import draw_units
from distspc.reconstruction.gather import gather_rows, gather_units, remove_units, union_of_units, units_folder
from distspc.reconstruction.options import ReconstructionOptions
from distspc.store.store import Store
from distspc.testing.stores import make_store, write_moments

OPTIONS = ReconstructionOptions(6, 4, 2, 8, 0.1, "all", "float64", "paper")
SCALED = replace(OPTIONS, scaling="z-score")


@pytest.fixture
def made(tmp_path):
    values = make_store(tmp_path / "s.zarr", n_targets=20, n_fillers=30, layers={"fc2": 40}, chunks={"image": 16})
    return Store(tmp_path / "s.zarr"), values["fc2"]


def test_gathered_units_are_those_of_all_seeds(made, tmp_path):
    store, values = made
    file = gather_units(store, str(tmp_path / "units"), "fc2", start=16, stop=50, seeds=[0, 5], n_units=6)
    union = union_of_units([0, 5], 40, 6)
    drawn = [draw_units(np.random.RandomState(seed), 40, 6) for seed in (0, 5)]
    assert union.tolist() == sorted({*drawn[0].tolist(), *drawn[1].tolist()})
    np.testing.assert_array_equal(np.load(file), values[16:50][:, union])
    assert gather_units(store, str(tmp_path / "units"), "fc2", start=16, stop=50, seeds=[0, 5], n_units=6) == file


def test_units_that_were_gathered_are_not_read_again(made, tmp_path):
    store, _ = made
    arguments = {"start": 0, "stop": 50, "seeds": [0], "n_units": 6}
    file = gather_units(store, str(tmp_path / "units"), "fc2", **arguments)
    first = np.load(file)
    store.layer("fc2").remove()
    assert gather_units(store, str(tmp_path / "units"), "fc2", **arguments) == file
    np.testing.assert_array_equal(np.load(file), first)


def test_a_folder_is_named_by_what_its_units_depend_on_and_others_go(made):
    store, _ = made
    first = units_folder(store, "fc2", [0], OPTIONS)
    first.mkdir(parents=True)
    assert units_folder(store, "fc2", [0], OPTIONS) == first
    assert first.exists()
    other = units_folder(store, "fc2", [1], OPTIONS)
    assert other != first
    other.mkdir(parents=True)
    remove_units(store, "fc2", but=other)
    assert other.exists()
    assert not first.exists()
    remove_units(store, "fc2")
    assert not other.parent.exists()


def test_a_task_gathers_whole_chunks():
    assert gather_rows(1_000_000, 64, 802_816) % 64 == 0
    assert gather_rows(100, 64, 4096) == 64


def test_units_are_standardised_over_all_images(made, tmp_path):
    store, values = made
    write_moments(store, "fc2")
    file = gather_units(
        store, str(tmp_path / "units"), "fc2", start=16, stop=32, seeds=[0], n_units=6, scaling="z-score"
    )
    exact, union = values.astype(float), union_of_units([0], 40, 6)
    z = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    np.testing.assert_allclose(np.load(file), z[16:32][:, union], rtol=1e-6, atol=1e-7)
    assert units_folder(store, "fc2", [0], OPTIONS) != units_folder(store, "fc2", [0], SCALED)
