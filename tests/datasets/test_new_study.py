"""Tests of: a new study of a data set, or of one's own images."""

import logging

import numpy as np
import pandas as pd
import pytest
import yaml

from distspc.datasets import catalogue, new_study, published_tables
from distspc.errors import InputError
from distspc.images import listing
from distspc.memorability import matching, scores
from distspc.study.file import StudyFile
from tests.datasets.shared import MEMCAT, lamem, picture, text

THINGS = """\
image_nr,file_path,image_name,cr
1,images/aardvark/aardvark_01b.jpg,aardvark_01b.jpg,0.81
2,images/aardvark/aardvark_02s.jpg,aardvark_02s.jpg,0.77
3,images/zebra/zebra_01b.jpg,zebra_01b.jpg,-0.02
"""


def memcat(folder):
    text(folder / "MemCat_data" / "memcat_image_data.csv", MEMCAT)
    for name in ("animal/bear/a1.jpg", "animal/bear/a2.jpg", "food/bread/f1.jpg"):
        picture(folder / "MemCat_images" / "MemCat" / name)


def things(folder):
    text(folder / "THINGS_Memorability_Scores.csv", THINGS)
    for name in ("aardvark/aardvark_01b.jpg", "aardvark/aardvark_02s.jpg", "zebra/zebra_01b.jpg"):
        picture(folder / "object_images" / name)


MAKE = {"memcat": memcat, "lamem": lamem, "things": things}


FIRST = {"memcat": [0.51, 0.72, 0.33], "lamem": [0.9, 0.774194, 0.5], "things": [0.81, 0.77, -0.02]}


@pytest.mark.parametrize("name", MAKE)
def test_from_download_to_scores_beside_images(name, tmp_path):
    MAKE[name](tmp_path)
    started = new_study.init_study(name, tmp_path)
    assert started.left == ()
    study = StudyFile.from_file(started.study)
    listed = listing.read_image_table(study.images.table)
    assert len(listed) == 3
    assert all(source.problem is None for source in listed)
    frame = pd.DataFrame([{"image": s.id, "number": s.number, "file": s.file} for s in listed])
    read = scores.read_scores(study.scores.file, image_column=study.scores.image, columns=study.scores.columns)
    match = matching.match_scores(frame, read)
    assert not match.without_score
    assert not match.without_image
    assert list(match.frame.iloc[:, 0]) == FIRST[name]
    if name != "lamem":
        assert listed[0].columns["category"] == {"memcat": "animal", "things": "aardvark"}[name]


@pytest.mark.parametrize("name", MAKE)
def test_before_the_download_it_says_what_to_get(name, tmp_path):
    started = new_study.init_study(name, tmp_path / "new")
    assert catalogue.DATASETS[name].home in started.left[0] + catalogue.DATASETS[name].home
    assert "http" in started.left[0]
    assert f"--dataset {name}`" in started.left[-1]
    assert catalogue.DATASETS[name].citation in started.study.read_text(encoding="utf-8")


def test_images_that_are_not_there_are_named_and_left_out(tmp_path, caplog):
    memcat(tmp_path)
    (tmp_path / "MemCat_images" / "MemCat" / "animal" / "bear" / "a2.jpg").unlink()
    with caplog.at_level(logging.WARNING):
        table = pd.read_csv(new_study.write_image_table("memcat", tmp_path))
    assert "1 of 3 images is not there: animal/bear/a2.jpg" in caplog.text
    assert list(table["path"]) == ["MemCat_images/MemCat/animal/bear/a1.jpg", "MemCat_images/MemCat/food/bread/f1.jpg"]


def test_a_part_of_a_data_set_wherever_it_lies_in_the_table(tmp_path):
    rows = "".join(f"{i},p{i:04d}.jpg,animal,bear,0.{i:04d},0.5\n" for i in range(1000))
    text(tmp_path / "memcat_image_data.csv", MEMCAT.splitlines()[0] + "\n" + rows)
    there = [f"p{i:04d}.jpg" for i in range(700, 730)]
    for name in there:
        picture(tmp_path / "deep" / "er" / "animal" / "bear" / name)
    started = new_study.init_study("memcat", tmp_path)
    assert len(started.left) == 1
    assert started.left[0].startswith("970 of 1,000 images are not there: animal/bear/p0000.jpg, ")
    table = pd.read_csv(tmp_path / "images.csv")
    assert list(table["path"]) == [f"deep/er/animal/bear/{name}" for name in there]
    assert list(table["memorability_w_fa_correction"]) == [float(f"0.{i:04d}") for i in range(700, 730)]


def test_a_study_of_isola(tmp_path):
    started = new_study.init_study("isola", tmp_path)
    assert any("distspc fetch" in sentence for sentence in started.left)
    assert any("cvpr_memorability_data.zip" in sentence for sentence in started.left)
    study = StudyFile.from_file(started.study)
    assert study.images.targets == tmp_path / "Images" / "Targets"
    assert study.scores.columns == ("corrected_hit", "hit", "fa")
    assert len(study.layers) == 7
    text(tmp_path / "target_info_IsolaEtAl.csv", "im_ind,hit\n")
    (tmp_path / "Images" / "Targets").mkdir(parents=True)
    assert new_study.init_study("isola", tmp_path).left == ()
    with pytest.raises(InputError, match="isola comes as MATLAB files"):
        new_study.write_image_table("isola", tmp_path)


def test_a_study_file_is_kept_and_another_is_not_replaced(tmp_path):
    study = new_study.init_study("things", tmp_path).study
    study.write_text(study.read_text().replace("units: 1000", "units: 900"))
    assert "units: 900" in new_study.init_study("things", tmp_path).study.read_text()
    with pytest.raises(InputError, match="is there already and not a study of memcat"):
        new_study.init_study("memcat", tmp_path)
    with pytest.raises(InputError, match="is a file; name a folder"):
        new_study.init_study("memcat", study)
    with pytest.raises(InputError, match=r"unknown data set 'imagenet': expected isola, memcat, lamem, things, or csv"):
        new_study.init_study("imagenet", tmp_path / "other")


def test_anybodys_table(tmp_path):
    text(tmp_path / "my.csv", "picture;category;memory;note\nx/a.png;x;0.5;?\ny\\b.png;y;;!\n")
    table = published_tables.read_csv(tmp_path / "my.csv", path_column="picture")
    assert list(table.columns) == ["path", "category", "memory"]
    assert list(table["path"]) == ["x/a.png", "y/b.png"]
    assert np.isnan(table["memory"][1])
    started = new_study.init_study("csv", tmp_path)
    assert set(yaml.safe_load(started.study.read_text(encoding="utf-8"))) >= {"store", "images", "scores", "layers"}


def test_no_images_at_all(tmp_path):
    text(tmp_path / "memcat_image_data.csv", MEMCAT)
    with pytest.raises(InputError, match=r"no images: no folder in .* leads to animal/bear/a1.jpg"):
        new_study.write_image_table("memcat", tmp_path)
