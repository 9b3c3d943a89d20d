"""How features are scaled: moments that are in the store, of its activations as they are."""

import dask
import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.moments import compute_moments, note_moments
from distspc.store.scaling import SCALINGS, has_moments, require_scaling, stored_moments
from distspc.store.store import Store
from distspc.testing.stores import make_store, write_moments


@pytest.fixture
def store(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=5, n_fillers=9, layers={"fc2": 20})
    return Store(tmp_path / "s.zarr")


def test_without_scaling_nothing_is_needed_and_nothing_read(store):
    require_scaling(store, "fc2", "none")
    assert stored_moments(store, "fc2", "none", slice(None)) is None


def test_moments_must_be_there(store):
    assert not has_moments(store, "fc2")
    with pytest.raises(InputError, match=r"fc2: .* for `scaling: z-score`, are not in .*; run the stage extract first"):
        require_scaling(store, "fc2", "z-score")
    write_moments(store, "fc2")
    require_scaling(store, "fc2", "z-score")
    some = stored_moments(store, "fc2", "z-score", np.array([3, 7]))
    assert some is not None
    np.testing.assert_array_equal(some.sd, store.scaling("fc2").read("sd")[[3, 7]])


def test_moments_of_other_activations_and_of_half_a_layer_do_not_count(store):
    write_moments(store, "fc2")
    store.layer("fc2").set_attributes(recipe={"model": "another"})
    assert not has_moments(store, "fc2")
    store.layer("fc2").set_attributes(recipe={"model": "synthetic", "shape": [20]})
    assert has_moments(store, "fc2")
    next(path for path in (store.path / "scaling/fc2/sd/c").rglob("*") if path.is_file()).unlink()
    assert not has_moments(store, "fc2")


def test_moments_count_once_the_number_of_constant_features_is_noted(store):
    dask.compute(*compute_moments(store, layers=["fc2"]), scheduler="synchronous")
    assert store.scaling("fc2").done("sd").all()
    assert not has_moments(store, "fc2")
    note_moments(store, "fc2")
    assert has_moments(store, "fc2")


def test_unknown_scaling_is_refused(store):
    with pytest.raises(InputError, match="scaling is 'minmax'; it must be one of none, z-score"):
        require_scaling(store, "fc2", "minmax")
    assert SCALINGS == ("none", "z-score")
