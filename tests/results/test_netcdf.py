"""The store as one NetCDF file that other software opens."""

import h5py
import pytest
import xarray as xr

from distspc.errors import InputError
from distspc.results.netcdf import to_netcdf
from distspc.store.store import Store
from distspc.testing.stores import image_ids, make_store, write_measures


def test_results_without_activations_in_a_file_of_plain_types(tmp_path):
    path, ids = tmp_path / "s.zarr", image_ids(4, 2)
    make_store(path, n_targets=4, n_fillers=2, layers={"fc2": 5})
    write_measures(path, ids, 4, ["fc2"], seeds=(0, 1))
    file = to_netcdf(path, tmp_path / "out" / "r.nc")
    tree = xr.open_datatree(file, engine="h5netcdf")
    assert set(tree.children) == {"images", "distances", "reconstruction"}
    stored = Store(path).reconstruction.load("error", "converged", layer="fc2")
    found = tree["reconstruction"].sel(layer="fc2")
    assert found["error"].values.tolist() == stored["error"].values.tolist()
    assert found["converged"].dtype == "int8"
    assert tree["distances"]["target"].values.tolist() == ids[:4]
    with h5py.File(file) as plain:
        assert plain["distances/distance"].shape == (1, 4, 1)
    assert [p.name for p in file.parent.iterdir()] == ["r.nc"]


def test_a_store_without_results_is_named(tmp_path):
    with pytest.raises(InputError, match="is not a store yet"):
        to_netcdf(tmp_path / "no.zarr", tmp_path / "r.nc")
