"""A fitted model read from the store gives its images the errors that it gave them; older stores too."""

import shutil

import dask
import numpy as np
import pytest

from distspc.kernels.sparse_coding.iteration import PAPER
from distspc.reconstruction.build import fit_sparse_code
from distspc.reconstruction.frozen import new_errors, offset_is_stored, read_model, recomputed_offsets
from distspc.reconstruction.options import ReconstructionOptions
from distspc.store.store import Store
from distspc.testing.stores import make_store, write_moments

SIZES = {"n_units": 12, "n_codewords": 6, "n_batches": 4, "batch_size": 16, "sparsity": 0.01}


@pytest.mark.parametrize("train_on", ["all", "fillers"])
@pytest.mark.parametrize("scaling", ["none", "z-score"])
@pytest.mark.parametrize("solver", ["paper", "converged", "pca"])
def test_images_have_their_stored_errors(tmp_path, solver, scaling, train_on):
    path, options = tmp_path / "s.zarr", {**SIZES, "solver": solver, "scaling": scaling, "train_on": train_on}
    made = make_store(path, n_targets=20, n_fillers=30, layers={"fc2": 40})
    write_moments(path, "fc2")
    dask.compute(*fit_sparse_code(path, layer="fc2", seeds=[0, 3], **options), scheduler="synchronous")
    store, settings = Store(path), ReconstructionOptions(**options)
    stored = store.reconstruction.load("error", layer="fc2")["error"].to_numpy()
    assert offset_is_stored(store, "fc2", 3)
    models = [read_model(store, "fc2", seed) for seed in (0, 3)]
    found = [new_errors(made["fc2"][[4, 44]], model, store, "fc2", settings) for model in models]
    np.testing.assert_allclose(found, stored[:, [4, 44]], rtol=1e-9)

    shutil.rmtree(path / "reconstruction" / "unit_mean")  # as an older store
    store = Store(path)
    assert not offset_is_stored(store, "fc2", 3)
    offsets = recomputed_offsets(store, "fc2", [0, 3], settings, 0 if train_on == "all" else 20)
    for seed, model in zip((0, 3), models, strict=True):
        np.testing.assert_array_equal(offsets[seed], model.fitted.unit_mean)
        again = read_model(store, "fc2", seed, offset=offsets[seed])
        np.testing.assert_array_equal(
            new_errors(made["fc2"][:9], again, store, "fc2", settings),
            new_errors(made["fc2"][:9], model, store, "fc2", settings),
        )


def test_a_step_that_was_shortened_is_taken_again(tmp_path):
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=20, n_fillers=0, layers={"fc2": 40})
    dask.compute(*fit_sparse_code(path, layer="fc2", seeds=[0], **SIZES), scheduler="synchronous")
    for written, step in ((PAPER.step / 4, PAPER.step / 4), (np.nan, PAPER.step)):  # not a number: of an older version
        Store(path).reconstruction.write("encode_step", np.array([[written]]))
        assert read_model(Store(path), "fc2", 0).fitted.step == step
