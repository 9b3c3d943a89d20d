"""Tests of: tables and images of the field's data sets, as their makers publish them."""

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from distspc.datasets import published_tables
from distspc.errors import InputError
from tests.datasets.shared import MEMCAT, lamem, picture, text


def test_the_folder_that_holds_most_of_the_images_counts(tmp_path):
    paths = [f"a/{i}.jpg" for i in range(6)]
    for i in range(6):
        picture(tmp_path / "all" / "a" / f"{i}.jpg")
    picture(tmp_path / "a" / "0.jpg")
    (tmp_path / "linked").symlink_to(tmp_path / "all")
    assert published_tables.locate_images(tmp_path, paths) == [f"all/{path}" for path in paths]
    (tmp_path / "all" / "loop").symlink_to(tmp_path)
    assert published_tables.locate_images(tmp_path, [*paths, "b/9.jpg"])[-1] is None


def test_isola_as_csv_and_as_matlab(tmp_path):
    text(
        tmp_path / "csv" / "target_info_IsolaEtAl.csv", "im_ind,hit,fa,corrected_hit\n1,0.5,0.1,0.4\n2,0.75,0.25,0.5\n"
    )
    from_csv = published_tables.read_isola(tmp_path / "csv")
    kinds = [(name, object) for name in ("filename", "hits", "misses", "false_alarms", "correct_rejections")]
    records = np.array([("a.jpg", 40, 40, 8, 72), ("b.jpg", 60, 20, 20, 60)], dtype=kinds)
    (tmp_path / "mat").mkdir()
    savemat(tmp_path / "mat" / "sorted_target_data.mat", {"sorted_target_data": records})
    pd.testing.assert_frame_equal(published_tables.read_isola(tmp_path / "mat"), from_csv)
    savemat(tmp_path / "mat" / "sorted_target_data.mat", {"other": np.arange(3)})
    with pytest.raises(InputError, match="holds no records with the fields hits, misses"):
        published_tables.read_isola(tmp_path / "mat")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("00000009.jpg\n", "'00000009.jpg' is not a file name and a score"),
        ("00000009.jpg high\n", "line 1: '00000009.jpg high' is not a file name and a score"),
        ("00000009.jpg 77\n", r"score 77 is outside \[-1, 1\]"),
        ("00000001.jpg 0.1\n", "00000001.jpg has 0.1, in another split 0.774194"),
    ],
)
def test_splits_that_cannot_be_read(tmp_path, line, message):
    lamem(tmp_path)
    text(tmp_path / "lamem" / "splits" / "val_3.txt", line)
    with pytest.raises(InputError, match=message):
        published_tables.read_lamem(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MEMCAT.replace("subcategory", "sub"), "no column subcategory"),
        (MEMCAT.replace("0.51", "51"), r"memorability_w_fa_correction: outside \[-1, 1\]: 51 in line 2"),
        (MEMCAT.replace("0.60", "?"), r"not a number: '\?' in line 2"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, content, message):
    text(tmp_path / "memcat_image_data.csv", content)
    with pytest.raises(InputError, match=message):
        published_tables.read_memcat(tmp_path)
