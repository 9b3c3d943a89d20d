"""Tests of `distspc.images.listing`."""

import csv
import dataclasses
import os
import pickle
from pathlib import Path

import natsort
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distspc import errors
from distspc.errors import InputError
from distspc.images import decoding, listing
from tests.images.shared import claimed_size, encoded


def write_images(folder, names, photograph):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        kind = PIL.Image.registered_extensions()[Path(name).suffix.lower()]
        (folder / name).write_bytes(encoded(photograph[:20, :30], kind))


def bad_files(folder, photograph):
    """Every kind of bad file by its name, with what is said of it."""
    good = encoded(photograph, "JPEG")
    said = {}

    def add(name, reason, data=None):
        said[name] = reason
        if data is not None:
            (folder / name).write_bytes(data)

    add("empty.jpg", "is empty", b"")
    add("text.png", "is not an image", b"hello world")
    add("truncated.jpg", "truncated", good[: len(good) // 2])
    add("truncated.png", "cannot be decoded", encoded(photograph, "PNG")[:5000])
    add("header.jpg", "cannot be decoded|is not an image", good[:30])
    add("script.jpg", "is not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    add("float.tif", "32 bits a channel", encoded(np.ones((4, 4), np.float32), "TIFF"))
    add("bomb.png", "more than the 89,478,485 pixels", claimed_size(20_000, 20_000))
    add("small_bomb.png", "more than the 89,478,485 pixels", claimed_size(10_000, 10_000))
    (folder / "folder.jpg").mkdir()
    add("folder.jpg", "is a folder")
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    add("dangling.jpg", "does not exist")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    add("loop.jpg", "is a loop of links")
    os.mkfifo(folder / "pipe.jpg")
    add("pipe.jpg", "is not a regular file")
    add("animation.gif", "gif files are not read", b"GIF89a")
    return said


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_files_are_named_with_their_reason_and_good_ones_stay(tmp_path, photograph):
    said = bad_files(tmp_path, photograph)
    write_images(tmp_path, ["good name.jpg", "gut-ä\n.png"], photograph)
    limit = PIL.Image.MAX_IMAGE_PIXELS
    rows = {Path(s.file).name: listing.inspect_image(s) for s in listing.list_images(tmp_path)}
    assert limit == PIL.Image.MAX_IMAGE_PIXELS
    assert {name for name, row in rows.items() if row.reason is None} == {"good name.jpg", "gut-ä\n.png"}
    for name, reason in said.items():
        with pytest.raises(InputError, match=reason):
            raise InputError(rows[name].reason)


def test_the_error_travels_between_processes(tmp_path):
    import pickle

    error = pickle.loads(pickle.dumps(errors.BadImageError("is empty", "a.jpg")))
    assert str(error) == "image 'a.jpg': is empty"
    assert (error.reason, error.file) == ("is empty", "a.jpg")


def test_a_file_that_changed_since_the_scan_is_refused(tmp_path, photograph):
    file = tmp_path / "a.jpg"
    file.write_bytes(encoded(photograph, "JPEG"))
    digest = listing.inspect_image(listing.list_images(tmp_path)[0]).digest
    decoding.network_input(file, digest=digest)
    file.write_bytes(encoded(photograph[::-1], "JPEG"))
    with pytest.raises(errors.BadImageError, match=r"a\.jpg': has changed since the study began"):
        decoding.network_input(file, digest=digest)


def test_natural_order_numbers_and_ids(tmp_path, photograph):
    write_images(tmp_path, ["10.jpg", "2.JPG", "1.png"], photograph)
    found = listing.list_images(tmp_path)
    assert [(s.id, s.number) for s in found] == [("targets/1", 1), ("targets/2", 2), ("targets/10", 10)]
    assert [s.id for s in listing.list_images(tmp_path, "filler")] == ["fillers/1", "fillers/2", "fillers/10"]


def test_what_is_listed_is_counted(tmp_path, photograph):
    write_images(tmp_path, ["10.jpg", "2.JPG", ".3.png"], photograph)
    (tmp_path / "4.gif").write_bytes(b"GIF89a")
    (tmp_path / "notes.txt").write_text("x")
    assert listing.count_images(tmp_path) == len(listing.list_images(tmp_path)) == 3
    with pytest.raises(InputError, match=r"folder of fillers .*more.*: "):
        listing.count_images(tmp_path / "more", "filler")


@given(st.lists(st.from_regex(r"[0-9]{1,3}\.(jpg|png|JPG)", fullmatch=True), unique=True))
def test_numbered_names_are_in_the_order_of_number_ending_and_zeros(names):
    expected = sorted(names, key=lambda name: (int(name.split(".")[0]), "." + name.split(".")[1], name))
    assert listing._natural_order(names) == expected


def test_a_circle_of_links_is_no_folder(tmp_path, photograph):
    write_images(tmp_path, ["1.jpg"], photograph)
    (tmp_path / "link").symlink_to("link")
    assert [text for text, _ in listing.beside_images(tmp_path)] == ["1 file that may be images (1 without ending)"]


def test_numbers_are_positions_unless_all_stems_are_numbers(tmp_path, photograph):
    write_images(tmp_path, ["b10.jpg", "b9.jpg", "7.jpg"], photograph)
    assert [(s.id, s.number) for s in listing.list_images(tmp_path)] == [
        ("targets/7", 1),
        ("targets/b9", 2),
        ("targets/b10", 3),
    ]


def test_numbers_that_would_collide_become_positions(tmp_path, photograph):
    write_images(tmp_path, ["1.jpg", "01.jpg"], photograph)
    assert sorted(s.number for s in listing.list_images(tmp_path)) == [1, 2]


def test_bad_images_keep_their_number(tmp_path, photograph):
    write_images(tmp_path, ["a.jpg", "c.jpg"], photograph)
    (tmp_path / "b.jpg").write_bytes(b"")
    rows = [listing.inspect_image(s) for s in listing.list_images(tmp_path)]
    assert [(row.number, row.reason is None) for row in rows] == [(1, True), (2, False), (3, True)]


@given(
    names=st.lists(
        st.sampled_from(["a.jpg", "a.png", "a.jpg.png", "A.jpg", "b.tif", "1.jpg", "01.jpg", "1.jpg.png"]),
        min_size=1,
        unique=True,
    )
)
def test_ids_are_unique(names):
    found = listing._sources([Path("/x") / name for name in names], [{}] * len(names), "target")
    assert len({s.id for s in found}) == len(names)
    assert len({s.number for s in found}) == len(names)


def test_stems_that_collide_keep_their_suffix(tmp_path, photograph):
    write_images(tmp_path, ["a.jpg", "a.png", "b.jpg"], photograph)
    assert [s.id for s in listing.list_images(tmp_path)] == ["targets/a.jpg", "targets/a.png", "targets/b"]


def test_hidden_files_subfolders_and_other_files_are_left_out(tmp_path, photograph):
    write_images(tmp_path, ["1.jpg", "._1.jpg"], photograph)
    write_images(tmp_path / "more", ["2.jpg"], photograph)
    (tmp_path / "notes.txt").write_text("x")
    assert [s.id for s in listing.list_images(tmp_path)] == ["targets/1"]


def test_what_is_beside_the_images_is_counted(tmp_path, photograph):
    write_images(tmp_path, ["1.jpg", "._1.jpg"], photograph)
    write_images(tmp_path / "more", ["2.jpg", "3.png", ".4.png"], photograph)
    write_images(tmp_path / "other/deep", ["5.tif"], photograph)
    write_images(tmp_path / ".hidden", ["6.tif"], photograph)
    (tmp_path / "empty").mkdir()
    for name in ("a.jpe", "b.JPE", "c.tga", "d", "notes.txt", ".DS_Store", "Thumbs.db", "x.gif"):
        (tmp_path / name).write_bytes(b"x")
    assert listing.beside_images(tmp_path) == [
        ("3 images in 2 subfolders (more, other)", "name the subfolder, or use a table of images"),
        (
            "4 files that may be images (1 without ending, 2 .jpe, 1 .tga)",
            "give them an ending that is read (bmp, jpeg, jpg, png, tif, tiff, webp)",
        ),
        ("1 file of other kinds (1 .txt)", ""),
    ]
    assert [Path(s.file).name for s in listing.list_images(tmp_path)] == ["1.jpg", "x.gif"]


def test_files_of_a_table_without_a_known_ending_are_named(tmp_path):
    sources = listing.read_image_table(write_table(tmp_path / "t.csv", [["a"], ["b.jpe"], ["c.png"]], header=("path",)))
    assert [s.problem for s in sources] == [
        "extensionless files are not read; save it as png",
        "jpe files are not read; save it as png",
        None,
    ]


def test_a_folder_of_images_and_hidden_files_holds_nothing_beside(tmp_path, photograph):
    write_images(tmp_path, ["1.jpg", "2.webp", ".3.jpg"], photograph)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    assert listing.beside_images(tmp_path) == []


def test_a_folder_without_images_says_what_it_holds(tmp_path, photograph):
    write_images(tmp_path / "a", ["1.jpg"], photograph)
    (tmp_path / "b.tga").write_bytes(b"x")
    said = r"has no image .*; it holds 1 image in 1 subfolder \(a\); it holds 1 file that may be images \(1 \.tga\)"
    with pytest.raises(InputError, match=said):
        listing.list_images(tmp_path)


def test_a_name_that_is_no_utf8_is_named(tmp_path, photograph):
    try:
        (tmp_path / os.fsdecode(b"a\xff.jpg")).write_bytes(encoded(photograph, "JPEG"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (row,) = [listing.inspect_image(s) for s in listing.list_images(tmp_path)]
    assert "not valid UTF-8" in row.reason
    assert row.file.encode()


def test_no_folder_and_no_images_are_errors(tmp_path):
    with pytest.raises(InputError, match=r"folder of targets .*nowhere.* does not exist"):
        listing.list_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"has no image \(expected bmp, jpeg, jpg"):
        listing.list_images(tmp_path)


def write_table(path, rows, header=("path", "role", "score", "category")):
    with open(path, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def test_a_table_gives_roles_and_carries_columns_along(tmp_path):
    table = write_table(tmp_path / "t.csv", [["x/2.jpg", "filler", "0.1", "sea"], ["x/1.jpg", "", "0.2", "land"]])
    target, filler = listing.read_image_table(table)
    assert (target.id, target.role, target.number) == ("targets/1", "target", 1)
    assert target.file == str(tmp_path / "x" / "1.jpg")
    assert filler.columns == {"score": "0.1", "category": "sea"}
    assert filler.id == "fillers/2"


def test_a_table_keeps_its_order_and_tells_folders_apart(tmp_path):
    table = write_table(tmp_path / "t.csv", [["b/1.jpg"], ["a/1.jpg"], ["a/9.jpg"]], header=("path",))
    found = listing.read_image_table(table)
    assert len({s.id for s in found}) == 3
    assert [Path(s.file).parent.name for s in found] == ["b", "a", "a"]
    assert [s.number for s in found] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a table: it is empty"),
        ("file\n1.jpg\n", "has no column path; it has file"),
        ("path,a,a\n1.jpg,2,3\n", "more than one column is called a"),
        ("path\n", "has no rows"),
        ("path,role\n1.jpg,lure\n", "line 2: role 'lure' is not one of target, filler"),
        ("path\n1.jpg\n./1.jpg\n", "line 3: .* is also on line 2"),
        ("path,a\n1.jpg\n", "the header has 2 columns, but line 2 has 1"),
        ("path\n1.jpg,2\n", "the header has 1 column, but line 2 has 2"),
        ("path,a\n,2\n", "line 2: no path"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        listing.read_image_table(tmp_path / "t.csv")


def test_a_table_that_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"path\n\xff\xfe\n")
    with pytest.raises(InputError, match="not a table of comma-separated values in UTF-8"):
        listing.read_image_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match="there is no such file"):
        listing.read_image_table(tmp_path / "u.csv")


def test_a_record_is_frozen_and_compares_what_the_store_keeps(tmp_path, photograph):
    write_images(tmp_path, ["1.jpg"], photograph)
    record = listing.inspect_image(listing.list_images(tmp_path)[0])
    assert (record.image, record.role, record.number) == ("targets/1", "target", 1)
    assert record == dataclasses.replace(record, remarks=("depth",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.reason = "changed"
    assert pickle.loads(pickle.dumps(record)) == record


@given(st.lists(st.from_regex(r"[0-9]{1,4}\.(jpg|PNG|tif)", fullmatch=True), unique=True))
def test_numbered_names_are_in_the_order_of_natsort(names):
    assert listing._natural_order(names) == natsort.natsorted(sorted(names))
