"""One layer and seed: errors last, so that their presence says that all is there."""

from dataclasses import asdict

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.reconstruction.build import fit_sparse_code
from distspc.reconstruction.fit import fit_seed, missing_seeds
from distspc.reconstruction.gather import gather_units
from distspc.reconstruction.options import ReconstructionOptions
from distspc.store.group import Group
from distspc.store.store import Store
from distspc.testing.stores import make_store, no_compute

OPTIONS = ReconstructionOptions(6, 4, 3, 8, 0.01, "all", "float64", "paper")
NAMES = {"n_units": 6, "n_codewords": 4, "n_batches": 3, "batch_size": 8, "sparsity": 0.01}


def fit(store, folder, seed, **options):
    gathered = [gather_units(store, str(folder), "fc2", start=0, stop=50, seeds=[0, 1], n_units=6)]
    return fit_seed(
        store, folder=str(folder), layer="fc2", seed=seed, seeds=[0, 1], settings=asdict(OPTIONS) | options,
        first_row=0, memory_nbytes=None, gathered=gathered,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=20, n_fillers=30, layers={"fc2": 40})
    with no_compute():
        fit_sparse_code(tmp_path / "s.zarr", layer="fc2", seeds=[0, 1], **NAMES)
    return Store(tmp_path / "s.zarr")


def test_a_seed_is_missing_until_its_errors_are_there(store, tmp_path):
    assert missing_seeds(store, "fc2", [0, 1]) == [0, 1]
    done = fit(store, tmp_path / "u", 1)
    assert (done["layer"], done["seed"]) == ("fc2", 1)
    assert missing_seeds(store, "fc2", [0, 1]) == [0]
    assert np.isfinite(store.reconstruction.load("error", layer="fc2", seed=1)["error"]).all()
    assert np.isnan(store.reconstruction.load("error", layer="fc2", seed=0)["error"]).all()


def test_gathered_units_go_with_the_last_seed(store, tmp_path):
    fit(store, tmp_path / "u" / "fc2-1", 0)
    assert (tmp_path / "u" / "fc2-1").exists()
    fit(store, tmp_path / "u" / "fc2-1", 1)
    assert not (tmp_path / "u").exists()


def test_units_that_cannot_be_used_name_layer_and_seed(tmp_path):
    zeros = {"fc2": np.zeros((50, 40), np.float32)}
    make_store(tmp_path / "z.zarr", n_targets=20, n_fillers=30, layers={"fc2": 40}, activations=zeros)
    fit_sparse_code(tmp_path / "z.zarr", layer="fc2", seeds=[0, 1], **NAMES)
    with pytest.raises(InputError, match=r"reconstruction of layer fc2, seed 0: .*percentile"):
        fit(Store(tmp_path / "z.zarr"), tmp_path / "u", 0)


def test_errors_are_written_last_so_that_what_was_interrupted_is_missing(store, tmp_path, monkeypatch):
    written, write = [], Group.write

    def full_after(n, group, name, value, **at):
        if len(written) == n:
            raise OSError("no space left on device")
        write(group, name, value, **at)
        written.append(name)

    for n in range(11):
        monkeypatch.setattr(Group, "write", lambda *a, n=n, **k: full_after(n, *a, **k))
        written.clear()
        with pytest.raises(OSError, match="no space left"):
            fit(store, tmp_path / "u", 1)
        assert missing_seeds(store, "fc2", [1]) == [1]
    monkeypatch.undo()
    fit(store, tmp_path / "u", 1)
    assert missing_seeds(store, "fc2", [1]) == []
