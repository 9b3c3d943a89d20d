import csv
import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import skimage
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc import errors
from distspc.errors import InputError
from distspc.images import decoding, listing

SHIPPED = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def photograph():
    return np.asarray(PIL.Image.open(SHIPPED / "coffee.png").convert("RGB"))[:256, :300]


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image = image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)
    image.save(stream, kind, **options)
    return stream.getvalue()


def claimed_size(width, height):
    """A PNG file that says in its header that it is very large."""
    data = bytearray(encoded(PIL.Image.new("1", (1, 1)), "PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def write_images(folder, names, photograph):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        kind = PIL.Image.registered_extensions()[Path(name).suffix.lower()]
        (folder / name).write_bytes(encoded(photograph[:20, :30], kind))


# ---------------------------------------------------------------- decoding


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_a_photograph_decodes_to_what_pillow_gives(name):
    file = Path(sklearn.datasets.__file__).parent / "images" / name
    with PIL.Image.open(file) as image:
        np.testing.assert_array_equal(decoding.decode_image(file), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_kinds_keep_every_value(photograph, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(decoding.decode_image(encoded(photograph, kind, **options)), photograph)


def test_grey_is_repeated_and_bilevel_is_black_and_white(photograph):
    grey = photograph[..., 0]
    found = decoding.decode_image(encoded(grey, "PNG"))
    np.testing.assert_array_equal(found, np.dstack([grey] * 3))
    bilevel = PIL.Image.fromarray(grey > 100)
    np.testing.assert_array_equal(decoding.decode_image(encoded(bilevel, "PNG"))[..., 1], 255 * (grey > 100))


def test_palette_gives_the_palettes_colours():
    image = PIL.Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    assert decoding.decode_image(encoded(image, "PNG")).tolist() == [[[200, 100, 50], [10, 20, 30]]]


def test_transparency_is_laid_over_white_and_opaque_pixels_keep_their_colour(photograph):
    alpha = np.zeros(photograph.shape[:2], np.uint8)
    alpha[:100] = 255
    alpha[100:200] = 128
    rgba = np.dstack([photograph, alpha])
    found = decoding.decode_image(encoded(rgba, "PNG")).astype(int)
    np.testing.assert_array_equal(found[:100], photograph[:100])
    blend = (photograph[100:200] * 128.0 + 255 * 127) / 255
    assert np.abs(found[100:200] - blend).max() <= 1
    assert (found[200:] == 255).all()


def test_a_transparent_palette_colour_becomes_white():
    image = PIL.Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    assert decoding.decode_image(encoded(image, "PNG", transparency=0)).tolist() == [[[200, 100, 50], [255] * 3]]


def test_cmyk_is_pillows_plain_conversion(photograph):
    cmyk = PIL.Image.fromarray(photograph).convert("CMYK")
    np.testing.assert_array_equal(decoding.decode_image(encoded(cmyk, "TIFF")), np.asarray(cmyk.convert("RGB")))
    data = encoded(cmyk, "JPEG", quality=95)
    assert np.abs(decoding.decode_image(data).astype(int) - photograph).mean() < 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_high_byte(kind):
    values = np.array([[0, 255, 256, 511], [32768, 65279, 65280, 65535]], dtype=np.uint16)
    found = decoding.decode_image(encoded(values, kind))
    np.testing.assert_array_equal(found, np.dstack([values // 256] * 3))


def test_sixteen_bit_colour_follows_the_same_rule():
    import cv2

    values = np.random.default_rng(0).integers(0, 2**16, (5, 4, 3)).astype(np.uint16)
    data = cv2.imencode(".png", values[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decoding.decode_image(data), values // 256)


def test_orientation_in_exif_is_ignored_as_in_the_paper(photograph):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    plain, turned = encoded(photograph, "JPEG"), encoded(photograph, "JPEG", exif=exif)
    assert turned != plain
    np.testing.assert_array_equal(decoding.decode_image(turned), decoding.decode_image(plain))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
def test_of_several_frames_the_first_counts(kind):
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in [(255, 0, 0), (0, 255, 0)]]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert decoding.decode_image(data)[0, 0].tolist() == [255, 0, 0]


def test_the_content_decides_not_the_name(tmp_path, photograph):
    (tmp_path / "x.jpg").write_bytes(encoded(photograph, "PNG"))
    np.testing.assert_array_equal(decoding.decode_image(tmp_path / "x.jpg"), photograph)


def test_one_pixel_is_an_image():
    assert decoding.resize_image(decoding.decode_image(encoded(np.full((1, 1, 3), 7, np.uint8), "PNG"))).min() == 7


def bilinear(rgb, size):
    """Bilinear resize written out in the fixed-point arithmetic that the paper's tool uses for bytes (11 bits)."""

    def weights(n_in, n_out):
        centre = ((np.arange(n_out) + 0.5) * np.float64(np.float64(n_in) / n_out) - 0.5).astype(np.float32)
        low = np.floor(centre).astype(int)
        part = centre - low.astype(np.float32)
        part[low < 0] = 0
        part[low >= n_in - 1] = 0
        low = np.clip(low, 0, n_in - 1)
        high = np.minimum(low + 1, n_in - 1)
        w_high = np.rint(part * 2048).astype(np.int64)
        return low, high, np.rint((1 - part) * np.float32(2048)).astype(np.int64), w_high

    y0, y1, a0, a1 = weights(rgb.shape[0], size[0])
    x0, x1, b0, b1 = weights(rgb.shape[1], size[1])
    wide = rgb.astype(np.int64)
    rows = wide[:, x0] * b0[None, :, None] + wide[:, x1] * b1[None, :, None]
    total = rows[y0] * a0[:, None, None] + rows[y1] * a1[:, None, None]
    return (total + (1 << 21)) >> 22


@pytest.mark.parametrize("shape", [(256, 256), (300, 200), (100, 512), (224, 224)])
def test_resizing_is_bilinear_without_antialiasing_to_within_one_grey_level(shape):
    values = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    found = decoding.resize_image(values)
    assert found.shape == (224, 224, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - bilinear(values, (224, 224))).max() <= 1


# ---------------------------------------------------------------- bad files


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
    add("bomb.png", "more than the 89478485 pixels", claimed_size(20_000, 20_000))
    add("small_bomb.png", "more than the 89478485 pixels", claimed_size(10_000, 10_000))
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
    assert {name for name, row in rows.items() if row["reason"] is None} == {"good name.jpg", "gut-ä\n.png"}
    for name, reason in said.items():
        with pytest.raises(InputError, match=reason):
            raise InputError(rows[name]["reason"])


def test_a_bomb_is_refused_when_warnings_are_errors_too(tmp_path):
    data = claimed_size(10_000, 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(errors.BadImageError, match="decompression bomb"):
            decoding.decode_image(data)


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_FILE_NBYTES", 10)
    (tmp_path / "a.jpg").write_bytes(b"x" * 11)
    with pytest.raises(errors.BadImageError, match="11 bytes, more than the 10"):
        decoding.decode_image(tmp_path / "a.jpg")


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(b"x")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(errors.BadImageError, match=r"a\.jpg': may not be read"):
        decoding.decode_image(tmp_path / "a.jpg")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_bytes_raise_nothing_else_than_a_named_error(data):
    good = bytearray(encoded(np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8), "JPEG"))
    for position in data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=8)):
        good[position] = data.draw(st.integers(0, 255))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = decoding.decode_image(bytes(good[: data.draw(st.integers(0, len(good)))]))
    except errors.BadImageError:
        return
    assert found.dtype == np.uint8
    assert found.shape[2] == 3


def test_the_error_travels_between_processes(tmp_path):
    import pickle

    error = pickle.loads(pickle.dumps(errors.BadImageError("is empty", "a.jpg")))
    assert str(error) == "image 'a.jpg': is empty"
    assert (error.reason, error.file) == ("is empty", "a.jpg")


# ---------------------------------------------------------------- network input


def test_network_input_is_the_resized_decoded_file(tmp_path, photograph):
    import cv2

    file = tmp_path / "a.jpg"
    file.write_bytes(encoded(photograph, "JPEG", quality=75))
    rgb = np.asarray(PIL.Image.open(io.BytesIO(file.read_bytes())).convert("RGB"))
    expected = cv2.resize(rgb, (224, 224))
    np.testing.assert_array_equal(decoding.network_input(file), expected)
    assert decoding.network_input(file, size=(50, 60)).shape == (50, 60, 3)


def test_a_file_that_changed_since_the_scan_is_refused(tmp_path, photograph):
    file = tmp_path / "a.jpg"
    file.write_bytes(encoded(photograph, "JPEG"))
    digest = listing.inspect_image(listing.list_images(tmp_path)[0])["digest"]
    decoding.network_input(file, digest=digest)
    file.write_bytes(encoded(photograph[::-1], "JPEG"))
    with pytest.raises(errors.BadImageError, match=r"a\.jpg': has changed since the study began"):
        decoding.network_input(file, digest=digest)


def test_many_threads_decode_alike(photograph):
    data = encoded(photograph, "JPEG")
    expected = decoding.decode_image(data)
    found = []
    threads = [threading.Thread(target=lambda: found.append(decoding.decode_image(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(f, expected) for f in found)


# ---------------------------------------------------------------- folders


def test_natural_order_numbers_and_ids(tmp_path, photograph):
    write_images(tmp_path, ["10.jpg", "2.JPG", "1.png"], photograph)
    found = listing.list_images(tmp_path)
    assert [(s.id, s.number) for s in found] == [("targets/1", 1), ("targets/2", 2), ("targets/10", 10)]
    assert [s.id for s in listing.list_images(tmp_path, "filler")] == ["fillers/1", "fillers/2", "fillers/10"]


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
    assert [(row["number"], row["reason"] is None) for row in rows] == [(1, True), (2, False), (3, True)]


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
    said = r"holds no image .*; it holds 1 image in 1 subfolder \(a\); it holds 1 file that may be images \(1 \.tga\)"
    with pytest.raises(InputError, match=said):
        listing.list_images(tmp_path)


def test_a_name_that_is_no_utf8_is_named(tmp_path, photograph):
    try:
        (tmp_path / os.fsdecode(b"a\xff.jpg")).write_bytes(encoded(photograph, "JPEG"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (row,) = [listing.inspect_image(s) for s in listing.list_images(tmp_path)]
    assert "not valid UTF-8" in row["reason"]
    assert row["file"].encode()


def test_no_folder_and_no_images_are_errors(tmp_path):
    with pytest.raises(InputError, match=r"folder of targets .*nowhere.* does not exist"):
        listing.list_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no image \(read are: bmp, jpeg, jpg"):
        listing.list_images(tmp_path)


# ---------------------------------------------------------------- tables


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
        ("path\n1.jpg,2\n", "the header has 1 columns, but line 2 has 2"),
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
