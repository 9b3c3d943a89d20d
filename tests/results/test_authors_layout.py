"""Tests of: results as files: the authors' layout, so that their notebook runs on it unchanged, and a tidy table."""

import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.results.authors_layout import export_results
from distspc.store.store import Store
from distspc.testing.stores import image_ids, make_store, write_image_table, write_measures


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=2, n_fillers=2, layers={"fc2": 4})
    ids = image_ids(2, 2)
    Store(path).distances.allocate(
        coords={"layer": ["fc2"], "target": ids[:2], "image": ids, "neighbour": 1},
        chunks={},
        recipe={"protocol": "paper"},
    )
    Store(path).distances.write("distance", [[0.1], [2.5]], layer=0)
    Store(path).distances.write("neighbour_index", [[1], [3]], layer=0)
    Store(path).reconstruction.allocate(
        coords={"layer": ["fc2"], "seed": [0, 7], "image": ids},
        chunks={},
        recipe={},
        variables=["error"],
    )
    Store(path).reconstruction.write("error", [1.0, 2.0, 3.0, 4.0], layer=0, seed=0)
    Store(path).reconstruction.write("error", [5.0, 6.0, 7.0, 8.0], layer=0, seed=1)
    return path


def test_authors_layout(store, tmp_path):
    written = export_results(store, tmp_path / "out")
    lines = (tmp_path / "out/Results/Dist/fc2_NN.csv").read_text().splitlines()
    assert lines == ["1, 2, 0.1", "2, 2_filler, 2.5"]
    error = np.load(tmp_path / "out/Results/RE/fc2/spc_rec_quality.npy")
    assert error.dtype == np.float64
    assert error.tolist() == [[1.0], [2.0]]
    assert written[-1] == tmp_path / "out/results.csv"


def test_error_of_another_seed(store, tmp_path):
    export_results(store, tmp_path / "out", seed=7)
    assert np.load(tmp_path / "out/Results/RE/fc2/spc_rec_quality.npy").tolist() == [[5.0], [6.0]]
    with pytest.raises(InputError, match=r"no seed 3.*it has 0, 7"):
        export_results(store, tmp_path / "out", seed=3)


def test_tidy_table_has_a_row_per_target_and_layer(store, tmp_path):
    export_results(store, tmp_path / "out")
    frame = pd.read_csv(tmp_path / "out/results.csv")
    assert len(frame) == 2
    assert frame["image"].tolist() == ["targets/1", "targets/2"]
    assert frame["neighbour"].tolist() == ["targets/2", "fillers/2"]
    assert frame["distinctiveness"].tolist() == [0.1, 2.5]
    assert frame["reconstruction_error"].tolist() == [3.0, 4.0]


def test_nothing_to_export_is_said(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=2, layers={"fc2": 4})
    with pytest.raises(InputError, match="neither distances nor reconstruction errors"):
        export_results(tmp_path / "s.zarr", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        export_results(tmp_path / "s.zarr", tmp_path / "file")


def test_each_of_several_networks_has_results_in_the_authors_layout(tmp_path):
    path, ids = tmp_path / "s.zarr", image_ids(3, 2)
    write_image_table(path, ids, 3)
    write_measures(path, ids, 3, ["fc2@vgg", "/a/b@clip"])
    export_results(path, tmp_path / "out")
    found = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert found == {
        "vgg/Results/Dist/fc2_NN.csv", "vgg/Results/RE/fc2/spc_rec_quality.npy", "results.csv",
        "clip/Results/Dist/%2Fa%2Fb_NN.csv", "clip/Results/RE/%2Fa%2Fb/spc_rec_quality.npy",
    }  # fmt: skip
    table = pd.read_csv(tmp_path / "out/results.csv")
    assert list(table.columns[:4]) == ["image", "file", "model", "layer"]
    assert table[["model", "layer"]].drop_duplicates().to_numpy().tolist() == [["vgg", "fc2"], ["clip", "/a/b"]]
