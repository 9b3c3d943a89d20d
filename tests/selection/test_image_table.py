import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.results.measures import wide_table
from distspc.selection.image_table import as_image_table, fillers_of, measured_distances, read_image_table, study_table
from tests.selection.shared import make_finished


def tidy() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": ["a", "b", "a", "b"],
            "file": ["a.jpg", "b.jpg", "a.jpg", "b.jpg"],
            "layer": ["fc2", "fc2", "fc1", "fc1"],
            "neighbour": ["b", "a", "c", "c"],
            "distinctiveness": [1.0, 1.0, 2.0, 3.0],
            "hit": [0.5, 0.6, 0.5, 0.6],
        }
    )


def test_a_tidy_table_gets_a_row_per_image():
    table = as_image_table(tidy())
    assert table.index.tolist() == ["a", "b"]
    assert table["distinctiveness:fc1"].tolist() == [2.0, 3.0]
    assert table["neighbour:fc2"].tolist() == ["b", "a"]
    assert table["hit"].tolist() == [0.5, 0.6]
    assert table["file"].tolist() == ["a.jpg", "b.jpg"]


def test_a_row_per_image_is_taken_as_it_is():
    table = as_image_table(pd.DataFrame({"hit": [0.1, 0.2]}, index=[7, 8]))
    assert table.index.tolist() == ["7", "8"]


def test_images_may_not_be_there_twice():
    with pytest.raises(InputError, match="more than one row for a"):
        as_image_table(pd.DataFrame({"image": ["a", "a"], "x": [1, 2]}))


def test_two_files_are_joined_by_image(tmp_path):
    (tmp_path / "m.csv").write_text("image,x,kind\n1,0.5,in\n2,0.7,out\n3,,in\n")
    (tmp_path / "s.csv").write_text("im_ind;hit\n2;0,4\n1;0,3\n")
    table = read_image_table(tmp_path / "m.csv", tmp_path / "s.csv", "image=im_ind")
    assert table["hit"].tolist() == [0.3, 0.4]
    assert table["kind"].tolist() == ["in", "out"]
    assert read_image_table(tmp_path / "m.csv", None, "image")["x"].isna().tolist() == [False, False, True]


def test_files_without_an_image_in_common_are_refused(tmp_path):
    (tmp_path / "m.csv").write_text("image,x\na,1\nb,2\n")
    (tmp_path / "s.csv").write_text("image,y\nc,1\nd,2\n")
    with pytest.raises(InputError, match="have no image in common: a, b against c, d"):
        read_image_table(tmp_path / "m.csv", tmp_path / "s.csv", "image")


def test_a_studys_table_has_measures_neighbours_and_categories(finished_study):
    table = study_table(finished_study)
    layers = [name.removeprefix("neighbour:") for name in table.columns if name.startswith("neighbour:")]
    assert layers
    assert all(f"distinctiveness:{layer}" in table.columns for layer in layers)
    assert "role" in table.columns
    assert not set(fillers_of(finished_study).index) & set(table.index)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_distances_are_measured_on_the_activations_by_the_metric_of_the_store(tmp_path, metric):
    store = make_finished(tmp_path / "study.zarr", metric)
    table = study_table(store)
    among_targets = table[table["neighbour:fc2"].isin(table.index)]
    image, other = str(among_targets.index[0]), str(among_targets["neighbour:fc2"].iloc[0])
    d = measured_distances(store)("fc2", [other, image])
    assert d[0, 0] == 0
    np.testing.assert_allclose(d[0, 1], among_targets["distinctiveness:fc2"].iloc[0], rtol=1e-6)


def test_a_table_of_pairs_of_columns_is_taken_too():
    wide = wide_table(tidy())
    assert as_image_table(wide)["distinctiveness:fc1"].tolist() == [2.0, 3.0]


def test_layers_of_several_networks_are_told_apart():
    table = tidy().assign(model=["vgg"] * 2 + ["clip"] * 2)
    expected = as_image_table(tidy().assign(layer=tidy()["layer"] + "@" + table["model"]))
    pd.testing.assert_frame_equal(as_image_table(table), expected)
    assert "model" not in expected.columns
