"""A study of one's own images: columns are found, names differ in case or ending, and what is written can be read."""

import pandas as pd
import pytest
import yaml

from distspc.datasets.own_images import find_images, find_scores, init_own_study
from distspc.errors import InputError
from distspc.study.file import StudyFile
from distspc.study.images import match_study
from tests.datasets.shared import picture


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "my photos"
    for i in range(1, 13):
        picture(folder / f"IMG {i}.JPG")
    return folder


def table(folder, text, encoding="utf-8"):
    file = folder / "scores of mine.csv"
    file.write_text(text, encoding=encoding)
    return file


def rows(pattern, n=12):
    return "".join(pattern.format(i=i, hit=f"0.{i:02}", comma=f"0,{i:02}") for i in range(1, n + 1))


def matched(study):
    """Scores of the first column by file name, as a run matches them."""
    match, images = match_study(StudyFile.from_file(study))
    values = match.frame.iloc[:, 0]
    return dict(zip((file.rpartition("/")[2] for file in images["file"]), values, strict=True))


EXPECTED = {f"IMG {i}.JPG": i / 100 for i in range(1, 13)}


@pytest.mark.parametrize(
    ("header", "pattern", "encoding"),
    [
        ("file,hit,category\n", "IMG {i}.JPG,{hit},cat\n", "utf-8"),
        ("hit,file,nr\n", "{hit},photos/IMG {i}.JPG,{i}\n", "utf-8"),
        (",hit,picture\n", "{i},{hit},IMG {i}\n", "utf-8"),
        ("Bild;Hit Rate\r\n", "img {i}.jpg;{comma}\r\n", "utf-8-sig"),
        ("Bild;Hit Rate\n", "img {i}.png;{comma}\n", "utf-8-sig"),
        ("Bild\tHit Rate\n", "img {i}\t{hit}\n", "utf-8"),
        ("im_ind,hit\n", "{i},{hit}\n", "utf-8"),
    ],
)
def test_columns_are_found_as_spreadsheets_write_them(header, pattern, encoding, photographs, tmp_path):
    file = table(tmp_path, header + rows(pattern), encoding)
    images = find_images(photographs)
    scores = find_scores(file, images)
    assert len(scores.columns) == 1
    started = init_own_study(tmp_path / "study", images, scores, weights="random")
    assert "<" not in started.study.read_text()
    assert matched(started.study) == EXPECTED
    assert init_own_study(tmp_path / "study", images, scores, weights="random") == started  # again: nothing to do


def test_what_is_matched_and_what_is_not_is_said(photographs, tmp_path):
    file = table(tmp_path, "name,hit,note,nr\n" + rows("IMG {i}.JPG,{hit},fine,{i}\n", 9) + "IMG 40.JPG,0.5,,40\n")
    said = " ".join(find_scores(file, find_images(photographs)).sentences)
    for part in (
        "'name'",
        "3 targets have no score",
        "IMG 40.JPG",
        "scores: column hit",
        "text: column note",
        "too: column nr",
    ):
        assert part in said, part


def test_a_table_of_its_own_keeps_all_columns_and_the_rows_without_image(photographs, tmp_path):
    file = table(tmp_path, "picture,hit\n" + rows("img {i}.png,{hit}\n", 11) + "img 40.png,0.5\n")
    images = find_images(photographs)
    started = init_own_study(tmp_path / "study", images, find_scores(file, images), weights="random")
    own = pd.read_csv(tmp_path / "study" / "scores.csv")
    assert list(own.columns) == ["file", "picture", "hit"]
    assert list(own["file"]) == [f"IMG {i}.JPG" for i in range(1, 12)] + ["img 40.png"]
    assert any("img 1.png for IMG 1.JPG" in sentence for sentence in started.left)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("name,hit\n" + rows("other{i}x{i},{hit}\n"), {}, "no column names the images"),
        ("name,kind\n" + rows("IMG {i}.JPG,cat\n"), {}, "no column of numbers beside 'name'"),
        ("file,hit\n" + rows("IMG {i}.JPG,{hit}\n") * 2, {}, "`trials` under `scores`"),
        ("file,hit\n" + rows("IMG {i}.JPG,{hit}\n"), {"image": "fiel"}, "no column fiel"),
        ("file,hit\n" + rows("IMG {i}.JPG,{hit}\n"), {"columns": ["hits"]}, "no column hits"),
        ("file,hit\n", {}, "no rows"),
        ("file,hit\n" + rows("IMG {i}.JPG,{hit}\n", 11) + "IMG 12.JPG,-\n", {}, "line 13"),
    ],
)
def test_what_cannot_be_found_is_named(text, settings, message, photographs, tmp_path):
    with pytest.raises(InputError, match="scores of mine") as refused:
        find_scores(table(tmp_path, text), find_images(photographs), **settings)
    assert message in str(refused.value)


def test_entries_that_mean_missing_go_into_the_study(photographs, tmp_path):
    file = table(tmp_path, "file,hit\n" + rows("IMG {i}.JPG,{hit}\n", 11) + "IMG 12.JPG,-\n")
    images = find_images(photographs)
    started = init_own_study(tmp_path / "s", images, find_scores(file, images, missing=["-"]), weights="random")
    assert yaml.safe_load(started.study.read_text())["scores"]["missing"] == ["-"]
    found = matched(started.study)
    assert found.pop("IMG 12.JPG") != found
    assert found == {name: value for name, value in EXPECTED.items() if name != "IMG 12.JPG"}


def test_targets_and_fillers_inside_a_folder_are_found(tmp_path):
    for name in ("Targets/1.png", "Targets/2.png", "Fillers/1.png"):
        picture(tmp_path / "pool" / "Images" / name)
    images = find_images(tmp_path / "pool")
    started = init_own_study(tmp_path / "pool", images, weights="random")
    study = StudyFile.from_file(started.study)
    assert (study.images.targets, study.images.fillers) == (images.targets, images.fillers)
    assert yaml.safe_load(started.study.read_text())["images"] == {
        "targets": "Images/Targets", "fillers": "Images/Fillers"
    }  # fmt: skip
    assert study.scores is None
    with pytest.raises(InputError, match="another folder"):
        find_images(tmp_path / "pool" / "Images" / "Targets", tmp_path / "pool" / "Images" / "Targets")
    with pytest.raises(InputError, match="another study"):
        init_own_study(tmp_path / "pool", images, weights="imagenet")
