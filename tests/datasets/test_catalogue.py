"""Data sets of the field, as small files in the same formats made here."""

import hashlib
import logging

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from scipy.io import savemat

from distspc.datasets import catalogue, download, new_study, published_tables
from distspc.errors import InputError
from distspc.images import listing
from distspc.memorability import matching, scores
from distspc.study.file import StudyFile

MEMCAT = """\
,image_file,category,subcategory,memorability_w_fa_correction,memorability_wo_fa_correction
1,a1.jpg,animal,bear,0.51,0.60
2,a2.jpg,animal,bear,0.72,0.80
3,f1.jpg,food,bread,0.33,0.41
"""
THINGS = """\
image_nr,file_path,image_name,cr
1,images/aardvark/aardvark_01b.jpg,aardvark_01b.jpg,0.81
2,images/aardvark/aardvark_02s.jpg,aardvark_02s.jpg,0.77
3,images/zebra/zebra_01b.jpg,zebra_01b.jpg,-0.02
"""


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (hash(path.name) % 255, 3, 4)).save(path)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def memcat(folder):
    text(folder / "MemCat_data" / "memcat_image_data.csv", MEMCAT)
    for name in ("animal/bear/a1.jpg", "animal/bear/a2.jpg", "food/bread/f1.jpg"):
        picture(folder / "MemCat_images" / "MemCat" / name)


def lamem(folder):
    text(folder / "lamem" / "splits" / "train_1.txt", "00000001.jpg 0.774194\n00000002.jpg 0.5\n")
    text(folder / "lamem" / "splits" / "test_1.txt", "00000003.jpg 0.9\n")
    text(folder / "lamem" / "splits" / "train_2.txt", "00000003.jpg 0.9\n00000001.jpg 0.774194\n\n")
    for i in (1, 2, 3):
        picture(folder / "lamem" / "images" / f"0000000{i}.jpg")


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
    assert "1 of 3 images are not there: animal/bear/a2.jpg" in caplog.text
    assert list(table["path"]) == ["MemCat_images/MemCat/animal/bear/a1.jpg", "MemCat_images/MemCat/food/bread/f1.jpg"]


def test_a_part_of_a_data_set_wherever_it_lies_in_the_table(tmp_path):
    rows = "".join(f"{i},p{i:04d}.jpg,animal,bear,0.{i:04d},0.5\n" for i in range(1000))
    text(tmp_path / "memcat_image_data.csv", MEMCAT.splitlines()[0] + "\n" + rows)
    there = [f"p{i:04d}.jpg" for i in range(700, 730)]
    for name in there:
        picture(tmp_path / "deep" / "er" / "animal" / "bear" / name)
    started = new_study.init_study("memcat", tmp_path)
    assert len(started.left) == 1
    assert started.left[0].startswith("970 of 1000 images are not there: animal/bear/p0000.jpg, ")
    table = pd.read_csv(tmp_path / "images.csv")
    assert list(table["path"]) == [f"deep/er/animal/bear/{name}" for name in there]
    assert list(table["memorability_w_fa_correction"]) == [float(f"0.{i:04d}") for i in range(700, 730)]


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
    with pytest.raises(InputError, match=r"'imagenet' is not known; known are isola, memcat, lamem, things and csv"):
        new_study.init_study("imagenet", tmp_path / "other")


def test_anybodys_table(tmp_path):
    text(tmp_path / "my.csv", "picture;category;memory;note\nx/a.png;x;0.5;?\ny\\b.png;y;;!\n")
    table = published_tables.read_csv(tmp_path / "my.csv", path_column="picture")
    assert list(table.columns) == ["path", "category", "memory"]
    assert list(table["path"]) == ["x/a.png", "y/b.png"]
    assert np.isnan(table["memory"][1])
    started = new_study.init_study("csv", tmp_path)
    assert set(yaml.safe_load(started.study.read_text(encoding="utf-8"))) >= {"store", "images", "scores", "layers"}


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


def test_no_images_at_all(tmp_path):
    text(tmp_path / "memcat_image_data.csv", MEMCAT)
    with pytest.raises(InputError, match=r"no images: no folder in .* leads to animal/bear/a1.jpg"):
        new_study.write_image_table("memcat", tmp_path)


# ---------------------------------------------------------------- fetching


@pytest.fixture
def small_isola(monkeypatch, tmp_path):
    """The data set with one small file that comes from a server of this test."""
    import http.server
    import threading

    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "scores.csv").write_bytes(b"im_ind,hit\n1,0.5\n")

    class Handler(http.server.SimpleHTTPRequestHandler):
        n_requests = 0

        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=tmp_path / "served", **kwargs)

        def do_GET(self):
            Handler.n_requests += 1
            super().do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    digest = hashlib.sha256(b"im_ind,hit\n1,0.5\n").hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/scores.csv"
    isola = catalogue.DATASETS["isola"]
    small = catalogue.Dataset(**{**isola.__dict__, "downloads": (catalogue.Download("s.csv", url, digest),)})
    monkeypatch.setitem(catalogue.DATASETS, "isola", small)
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_is_there_is_not_fetched_again(small_isola, tmp_path):
    (file,), by_hand = download.fetch("isola", tmp_path / "study")
    assert file == tmp_path / "study" / "s.csv"
    assert file.read_bytes().startswith(b"im_ind")
    assert "cvpr_memorability_data.zip" in by_hand[0]
    assert download.fetch("isola", tmp_path / "study")[0] == [file]
    assert small_isola.n_requests == 1
    file.write_bytes(b"cut sh")
    download.fetch("isola", tmp_path / "study")
    assert file.read_bytes().endswith(b"1,0.5\n")


def test_another_file_than_expected_is_refused(small_isola, tmp_path):
    (tmp_path / "served" / "scores.csv").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"by hand and put it at .*s.csv"):
        download.fetch("isola", tmp_path / "study")
    assert not (tmp_path / "study" / "s.csv").exists()


def test_nothing_to_fetch_is_said(tmp_path):
    files, by_hand = download.fetch("lamem", tmp_path)
    assert files == []
    assert "lamem.tar.gz" in by_hand[0]
