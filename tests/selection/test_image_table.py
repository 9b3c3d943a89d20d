import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.selection.image_table import as_image_table, fillers_of, measured_distances, read_image_table, study_table


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


def test_distances_are_measured_on_the_activations(finished_study):
    table = study_table(finished_study)
    layer = next(name.removeprefix("neighbour:") for name in table.columns if name.startswith("neighbour:"))
    among_targets = table[table[f"neighbour:{layer}"].isin(table.index)]
    image = str(among_targets.index[0])
    other = str(among_targets[f"neighbour:{layer}"].iloc[0])
    d = measured_distances(finished_study)(layer, [image, other])
    np.testing.assert_allclose(d[0, 1], among_targets[f"distinctiveness:{layer}"].iloc[0], rtol=1e-6)
