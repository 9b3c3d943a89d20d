"""Tests of `distspc.results.tree`."""

import pandas as pd
import pytest
import xarray as xr

import distspc
from distspc.errors import InputError
from distspc.results.stored_tables import write_table
from distspc.store.activations import give_back
from distspc.store.store import Store
from distspc.testing.stores import image_ids, make_store, write_measures


def test_results_are_a_lazy_datatree_with_units(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=3, n_fillers=2, layers={"fc2": 6})
    results = distspc.open_results(tmp_path / "s.zarr")
    assert isinstance(results, xr.DataTree)
    assert results["activations/fc2"]["activation"].chunks is not None
    assert results["activations/fc2"]["activation"].attrs["long_name"]
    assert "activations" in results._repr_html_()


def test_activations_that_were_given_back_are_absent_and_say_so(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=3, n_fillers=2, layers={"fc2": 6, "fc1": 4})
    nbytes = give_back(Store(tmp_path / "s.zarr"), "fc2")
    results = distspc.open_results(tmp_path / "s.zarr")
    assert results["activations/fc1"]["activation"].shape == (5, 4)
    layer = results["activations/fc2"].to_dataset()
    assert "activation" not in layer.variables
    assert layer.attrs["given_back"]["nbytes"] == nbytes
    assert layer.sizes == {"image": 5}
    with pytest.raises(KeyError):
        results["activations/fc2"]["activation"]


def test_results_know_their_store_also_as_a_copy_or_a_part(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=3, n_fillers=2, layers={"fc2": 6})
    write_measures(tmp_path / "s.zarr", image_ids(3, 2), 3, ["fc2"])
    results = distspc.open_results(tmp_path / "s.zarr")
    assert results.store == tmp_path / "s.zarr"
    assert results["images"].store == tmp_path / "s.zarr"
    whole = results.to_dataframe()
    opened = xr.open_datatree(tmp_path / "s.zarr", engine="zarr", consolidated=False)
    for tree in (results.copy(), results.filter(lambda node: node.name != "images"), opened):
        pd.testing.assert_frame_equal(tree.distspc.to_dataframe(), whole)
    with pytest.raises(InputError, match="do not come from a store"):
        xr.DataTree().distspc.to_dataframe()


def test_tidy_table_and_netcdf(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=4, n_fillers=3, layers={"fc2": 6})
    write_measures(tmp_path / "s.zarr", image_ids(4, 3), 4, ["fc2"])
    results = distspc.open_results(tmp_path / "s.zarr")
    frame = results.to_dataframe()
    assert len(frame) == 4 * frame["layer"].nunique()
    assert {"image", "layer", "distinctiveness", "reconstruction_error"} <= set(frame.columns)
    path = results.save_netcdf(tmp_path / "results.nc")
    with xr.open_datatree(path, engine="h5netcdf") as again:
        assert "distances" in again.children


def test_reliability_over_seeds_is_in_the_table_and_on_the_page(tmp_path):
    from distspc.kernels.statistics.reliability import seed_reliability
    from distspc.report.page import write_report

    make_store(tmp_path / "s.zarr", n_targets=20, n_fillers=9, layers={"fc2": 6})
    write_measures(tmp_path / "s.zarr", image_ids(20, 9), 20, ["fc2"], seeds=(0, 1, 2))
    table = distspc.tidy_table(tmp_path / "s.zarr")
    wanted = seed_reliability(distspc.open_results(tmp_path / "s.zarr")["reconstruction"]["error"].values[0])
    assert table["reconstruction_error_icc"].tolist() == pytest.approx([wanted.icc] * 20)
    assert table["reconstruction_error_reliability"].tolist() == pytest.approx([wanted.mean_icc] * 20)
    page = write_report(tmp_path / "s.zarr", tmp_path / "report.html").read_text()
    assert "intraclass correlation, ICC(3,1)" in page


def test_deploy_is_the_function_even_after_its_package_was_imported():
    import distspc.deployment.profile.reading

    assert callable(distspc.deploy)
    with distspc.deploy("local", overrides=("workers=1", "processes=false")) as client:
        assert client.submit(sum, [1, 2]).result() == 3


def test_tables_of_relate_are_given_by_name(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=3, n_fillers=2, layers={"fc2": 6})
    table = pd.DataFrame(
        {"kind": ["activations"] * 2, "layer": ["fc2@vgg", "fc2@dino"], "score": "hit", "r": [0.5, 0.4]}
    )
    write_table(Store(tmp_path / "s.zarr").readout, table, recipe={})
    found = distspc.open_results(tmp_path / "s.zarr").table("readout")
    assert found[["model", "layer", "r"]].to_numpy().tolist() == [["vgg", "fc2", 0.5], ["dino", "fc2", 0.4]]
    assert distspc.open_results(tmp_path / "s.zarr").table("relations").empty
    with pytest.raises(InputError, match="there is no table 'gram'; there are relations, models, comparisons, readout"):
        distspc.open_results(tmp_path / "s.zarr").table("gram")
