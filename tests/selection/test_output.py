from pathlib import Path

import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.selection.output import check_folder, place_images, write_csv, write_selection
from tests.selection.shared import BY


def test_a_set_is_written_by_cell(selection, tmp_path):
    written = write_selection(selection, tmp_path / "stimuli")
    assert sorted(path.name for path in (tmp_path / "stimuli").iterdir()) == sorted(
        [*selection.cells, "balance.csv", "selection.html", "stimuli.csv"]
    )
    read = pd.read_csv(tmp_path / "stimuli" / "stimuli.csv")
    assert list(read.columns[:3]) == ["image", "file", "cell"]
    for row in read.to_dict("records"):
        assert row["stimulus"].startswith(f"{row['cell']}/")
        copied = tmp_path / "stimuli" / row["stimulus"]
        assert copied.read_bytes() == Path(row["file"]).read_bytes()
    assert set(BY) <= set(read.columns)
    assert written["stimulus"].tolist() == read["stimulus"].tolist()
    balance = pd.read_csv(tmp_path / "stimuli" / "balance.csv")
    assert {"mean_a", "sd_a", "smd", "variance_ratio", "p"} <= set(balance.columns)


def test_images_are_linked_or_left(selection, tmp_path):
    linked = write_selection(selection, tmp_path / "linked", images="link")
    assert all((tmp_path / "linked" / path).is_symlink() for path in linked["stimulus"])
    left = write_selection(selection, tmp_path / "left", images="none")
    assert set(left["stimulus"]) == {""}
    assert not (tmp_path / "left" / "small-small").exists()


def test_two_files_of_one_name_stay_apart(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").write_text(folder)
    files = pd.Series([str(tmp_path / folder / "1.jpg") for folder in "ab"], index=["x", "y"])
    places = place_images(files, pd.Series("cell", files.index), tmp_path / "out", "copy")
    assert [(tmp_path / "out" / place).read_text() for place in places] == ["a", "b"]


def test_missing_files_are_named_before_anything_is_written(tmp_path):
    files = pd.Series(["gone.jpg"], index=["x"])
    with pytest.raises(InputError, match=r"1 image file is not there: gone\.jpg; .* --images none"):
        place_images(files, pd.Series("cell", files.index), tmp_path / "out", "copy")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    assert check_folder(tmp_path / "new") == tmp_path / "new"
    write_csv(pd.DataFrame({"a": [1]}), tmp_path / "used" / "old.csv")
    with pytest.raises(InputError, match="is not empty"):
        check_folder(tmp_path / "used")
    with pytest.raises(InputError, match="is a file"):
        check_folder(tmp_path / "used" / "old.csv")
