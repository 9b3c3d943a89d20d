"""Image files that cannot be used are named with their reason and left out; odd but whole ones are taken."""

import io
import os
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

from distspc.store.notices import stored_notices
from distspc.store.store import Store

STUDY = """\
store: made/study.zarr
images: {targets: Images}
model: {weights: random}
layers: [block1_pool]
"""


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def picture(colour=(200, 100, 50), size=(12, 10), mode="RGB"):
    return PIL.Image.new(mode, size, colour)


def noise(side=64):
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8))


def png(width, height, rows, *, depth=1):
    """A PNG of one grey channel whose pixels are all 0, whole if `rows` is its height."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width * depth + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb_in_comment():
    comments = PIL.PngImagePlugin.PngInfo()
    comments.add_text("Comment", "a" * 40_000_000, zip=True)
    return encoded(picture(), "PNG", pnginfo=comments)


def link(target):
    return lambda file: file.symlink_to(target)


def pair_of_links(file):
    file.symlink_to("other.jpg.link")
    file.with_name("other.jpg.link").symlink_to(file.name)


def unreadable(file):
    if os.geteuid() == 0:
        pytest.skip("the superuser may read every file")
    file.write_bytes(encoded(picture(), "JPEG"))
    file.chmod(0)


@pytest.fixture
def study(tmp_path):
    (tmp_path / "Images").mkdir()
    (tmp_path / "study.yaml").write_text(STUDY)
    for number, colour in ((1, (9, 9, 9)), (20, (250, 128, 0))):
        (tmp_path / f"Images/{number}.png").write_bytes(encoded(picture(colour), "PNG"))
    return tmp_path / "study.yaml"


BAD = {
    "nothing in it": ("7.jpg", b"", "is empty"),
    "truncated JPEG": ("7.jpg", encoded(noise(), "JPEG")[:900], "cannot be decoded .*truncated"),
    "truncated PNG": ("7.png", encoded(noise(), "PNG")[:5000], "cannot be decoded .*truncated"),
    "truncated TIFF": ("7.tif", encoded(noise(), "TIFF")[:5000], "cannot be decoded|is not an image"),
    "truncated WebP": ("7.webp", encoded(noise(), "WEBP")[:900], "cannot be decoded|is not an image"),
    "truncated BMP": ("7.bmp", encoded(noise(), "BMP")[:5000], "cannot be decoded .*truncated"),
    "a JPEG's first bytes": ("7.jpg", encoded(noise(), "JPEG")[:30], "cannot be decoded|is not an image"),
    "flipped bits": ("7.png", encoded(noise(), "PNG")[:300] + b"\xff" * 80 + encoded(noise(), "PNG")[380:], "decoded"),
    "text called png": ("7.png", b"not a picture\n", "is not an image of a kind that is read .*JPEG, PNG"),
    "a page called jpg": ("7.jpg", b"<!DOCTYPE html><title>404</title>", "is not an image of a kind that is read"),
    "PostScript called jpg": ("7.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
    "vector graphics": (
        "7.svg",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "svg files are not read; save",
    ),
    "animated GIF": (
        "7.gif",
        encoded(picture(), "GIF", save_all=True, append_images=[picture((0, 0, 9))]),
        "gif files are not read; save it as png",
    ),
    "32 bits a channel": (
        "7.tif",
        encoded(PIL.Image.new("F", (4, 4)), "TIFF"),
        "32 bits a channel.*with 8 or 16",
    ),
    "20,000 x 20,000": ("7.png", png(20_000, 20_000, 20_000), "more than the 89,478,485 pixels allowed"),
    "a bomb": ("7.png", png(10_000, 10_000, 1), "more than the 89,478,485 pixels allowed .*decompression bomb"),
    "a bomb's header": ("7.png", png(2**31 - 1, 2**31 - 1, 0), "decompression bomb"),
    "a bomb in a comment": ("7.png", bomb_in_comment(), "cannot be decoded .*too large"),
    "a folder": ("7.jpg", lambda file: file.mkdir(), "is a folder"),
    "a pipe": ("7.jpg", os.mkfifo, "is not a regular file"),
    "a device": ("7.jpg", link("/dev/zero"), "is not a regular file"),
    "a dangling link": ("7.jpg", link("nowhere.jpg"), "does not exist"),
    "a link to itself": ("7.jpg", link("7.jpg"), "is a loop of links"),
    "links in a circle": ("7.jpg", pair_of_links, "is a loop of links"),
    "unreadable": ("7.jpg", unreadable, "may not be read"),
    "a name that is no UTF-8": (os.fsdecode(b"7\xff.jpg"), encoded(picture(), "JPEG"), "not valid UTF-8; rename it"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_image_is_named_and_the_others_are_done(study, refused, case):
    name, content, sentence = BAD[case]
    file = study.parent / "Images" / name
    file.write_bytes(content) if isinstance(content, bytes) else content(file)
    said = refused(["extract", study], f"skipped: [^\n]*7[^\n]*: [^\n]*({sentence})")
    assert "1 image could not be used; everything else is done. Fix or remove these files and rerun" in said.err
    store = study.parent / "made/study.zarr"
    assert Store(store).images.read("number").tolist() == ([1, 20] if name.startswith("7.") else [1, 3])
    values = Store(store).layer("block1_pool").read("activation")
    assert np.isfinite(values).all()
    assert (values.max(axis=1) > 0).all()


def exif(orientation):
    made = PIL.Image.Exif()
    made[0x0112] = orientation
    return made


def told(store):
    return {notice.text: notice.warning for notice in stored_notices([Store(store).images])}


def test_what_is_converted_or_overlooked_is_logged_and_kept_with_the_images(study, command):
    folder = study.parent / "Images"
    dark = PIL.Image.fromarray(np.full((8, 8), 4000, np.uint16))
    (folder / "21.jpg").write_bytes(encoded(picture(), "JPEG", exif=exif(6)))
    (folder / "22.tif").write_bytes(encoded(picture(), "TIFF", tiffinfo=exif(3)))
    (folder / "23.png").write_bytes(encoded(dark, "PNG"))
    (folder / "24.png").write_bytes(encoded(picture((0, 0, 0, 9), mode="RGBA"), "PNG"))
    (folder / "sub").mkdir()
    for name in ("sub/25.png", "26.jpe", "27"):
        (folder / name).write_bytes(encoded(picture(), "PNG"))
    said = command("extract", study)
    assert said.code == 0
    expected = {
        "2 of 6 images have an orientation other than 1": True,
        "1 of 6 images has 16 bits a channel and no value above 4095": True,
        "1 of 6 images has more than 8 bits a channel": False,
        "1 of 6 images has transparent pixels; laid over white (first: targets/24)": False,
        f"Folder {str(folder)!r}: not taken: 1 image in 1 subfolder (sub); to take": True,
        f"Folder {str(folder)!r}: not taken: 2 files that may be images (1 without ending, 1 .jpe); to take": True,
    }
    store = study.parent / "made/study.zarr"
    first = told(store)
    assert len(first) == len(expected)
    for start, warning in expected.items():
        (kept,) = [text for text in first if text.startswith(start)]
        assert first[kept] is warning
        assert said.err.count(kept) == int(warning)
    assert command("extract", study).code == 0
    assert told(store) == first


def test_notices_of_folders_follow_the_folder_and_a_clean_study_has_none(study, command):
    store = study.parent / "made/study.zarr"
    (study.parent / "Images/27").write_bytes(b"x")
    assert command("extract", study).code == 0
    assert len(told(store)) == 1
    (study.parent / "Images/27").unlink()
    assert command("extract", study).code == 0
    assert told(store) == {}


def test_strict_stops_at_the_first(study, refused):
    (study.parent / "Images/7.jpg").write_bytes(b"")
    refused(["extract", study, "--strict"], r"error: image '[^\n]*7\.jpg': is empty")


def test_a_mended_image_comes_in_with_redo_and_is_told_before(study, command):
    file = study.parent / "Images/7.png"
    file.write_bytes(b"")
    assert command("extract", study).code == 2
    file.write_bytes(encoded(picture(), "PNG"))
    said = command("extract", study)
    assert said.code == 2
    assert "made from other images: targets/7" in said.err
    assert "--redo" in said.err
    assert command("extract", study, "--redo").code == 0
    assert Store(study.parent / "made/study.zarr").images.labels("image") == [
        "targets/1",
        "targets/7",
        "targets/20",
    ]


def turned():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(), "PNG", exif=exif)


def animated(kind, **options):
    return encoded(picture(), kind, save_all=True, append_images=[picture((0, 0, 9))], **options)


COLOUR = [200, 100, 50]
ODD = {
    "one pixel": ("7.png", encoded(picture(size=(1, 1)), "PNG"), (1, 1), COLOUR),
    "one row": ("7.png", encoded(picture(size=(5000, 1)), "PNG"), (5000, 1), COLOUR),
    "PNG called jpg": ("7.jpg", encoded(picture(), "PNG"), (12, 10), COLOUR),
    "capital letters": ("7.PNG", encoded(picture(), "PNG"), (12, 10), COLOUR),
    "grey": ("7.png", encoded(picture(77, mode="L"), "PNG"), (12, 10), [77] * 3),
    "black and white": ("7.png", encoded(picture(1, mode="1"), "PNG"), (12, 10), [255] * 3),
    "16 bits": ("7.png", encoded(PIL.Image.fromarray(np.full((10, 12), 0x4DFF, np.uint16)), "PNG"), (12, 10), [77] * 3),
    "palette": ("7.png", encoded(picture().quantize(2), "PNG"), (12, 10), COLOUR),
    "opaque alpha": ("7.png", encoded(picture((*COLOUR, 255), mode="RGBA"), "PNG"), (12, 10), COLOUR),
    "clear alpha": ("7.png", encoded(picture((*COLOUR, 0), mode="RGBA"), "PNG"), (12, 10), [255] * 3),
    "CMYK": ("7.tif", encoded(picture((55, 155, 205, 0), mode="CMYK"), "TIFF"), (12, 10), COLOUR),
    "turned by EXIF": ("7.png", turned(), (12, 10), COLOUR),
    "animated PNG": ("7.png", animated("PNG"), (12, 10), COLOUR),
    "animated WebP": ("7.webp", animated("WEBP", lossless=True), (12, 10), COLOUR),
    "pages of a TIFF": ("7.tif", animated("TIFF"), (12, 10), COLOUR),
    "a name with spaces": (" two words .png", encoded(picture(), "PNG"), (12, 10), COLOUR),
    "a name in Unicode": ("Bär-猫-🐻.png", encoded(picture(), "PNG"), (12, 10), COLOUR),
    "a name of two lines": ("two\nlines.png", encoded(picture(), "PNG"), (12, 10), COLOUR),
    "a name like an option": ("--redo.png", encoded(picture(), "PNG"), (12, 10), COLOUR),
    "a name like a format": ("%s{0}$(id);'\".png", encoded(picture(), "PNG"), (12, 10), COLOUR),
    "a long name": ("n" * 250 + ".png", encoded(picture(), "PNG"), (12, 10), COLOUR),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_image_is_taken(study, command, case):
    from distspc.images.decoding import network_input

    name, content, size, colour = ODD[case]
    file = study.parent / "Images" / name
    file.write_bytes(content)
    said = command("extract", study)
    assert (said.code, "skipped" in said.err) == (0, False), said
    store = study.parent / "made/study.zarr"
    files = Store(store).images.read("file").tolist()
    row = files.index(str(file))
    assert len(files) == 3
    found = tuple(int(Store(store).images.read(side)[row]) for side in ("width", "height"))
    assert found == size
    assert np.unique(network_input(file).reshape(-1, 3), axis=0).tolist() == [colour]


def test_a_name_cannot_write_on_the_terminal(study, refused):
    (study.parent / "Images/\x1b[2J\n.jpg").write_bytes(b"")
    said = refused(["extract", study], r"skipped: [^\n]*: is empty")
    assert "\x1b" not in said.err


FOLDERS = {
    "no such folder": (lambda f: (f / "Images").rename(f / "Pictures"), "folder of targets '.*Images': does not exist"),
    "a file for a folder": (
        lambda f: (f / "study.yaml").write_text(STUDY.replace("targets: Images", "targets: study.yaml")),
        "folder of targets '.*study.yaml': is not a folder",
    ),
    "nothing in it": (
        lambda f: [file.unlink() for file in (f / "Images").iterdir()],
        r"folder of targets '.*Images' has no image \(expected bmp, jpeg",
    ),
    "none can be used": (
        lambda f: [file.write_bytes(b"") for file in (f / "Images").iterdir()],
        r"none of the 2 images can be used as a target; the first: image '.*1\.png': is empty",
    ),
    "fillers that are not there": (
        lambda f: (f / "study.yaml").write_text(STUDY.replace("targets: Images", "targets: Images, fillers: F")),
        "folder of fillers '.*F': does not exist",
    ),
    "fillers that are the targets": (
        lambda f: (f / "study.yaml").write_text(STUDY.replace("targets: Images", "targets: Images, fillers: ./Images")),
        "`fillers` is the folder of the targets",
    ),
    "a folder that is a loop": (
        lambda f: ((f / "Images").rename(f / "Pictures"), (f / "Images").symlink_to("Images")),
        "folder of targets '.*Images': is a loop of links",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_bad_folder_is_refused(study, refused, case):
    spoil, sentence = FOLDERS[case]
    spoil(study.parent)
    refused(["extract", study], "error: .*" + sentence if "`" not in sentence else sentence)


TABLES = {
    "no such table": (None, r"image table .*t\.csv: there is no such file"),
    "nothing in it": (b"", r"image table .*t\.csv is not a table: it is empty"),
    "a header alone": (b"path,role\n", "has no rows"),
    "no column of paths": (b"file\nImages/1.png\n", "has no column path; it has file"),
    "a column twice": (b"path,path\na,b\n", "more than one column is called path"),
    "an unknown role": (b"path,role\nImages/1.png,lure\n", "line 2: role 'lure' is not one of target, filler"),
    "a file twice": (b"path\nImages/1.png\nImages/../Images/1.png\n", "line 3: .* is also on line 2"),
    "ragged lines": (b"path,role\nImages/1.png\n", "the header has 2 columns, but line 2 has 1"),
    "no path": (b"path,role\n,target\n", "line 2: no path"),
    "no text": (b"\xff\xfe\x00path", "is not a table of comma-separated values in UTF-8"),
    "a path of no file": (b"path\nImages/1.png\nImages/none.png\n", r"skipped: .*none\.png: does not exist"),
    "a path with a zero byte": (b"path\nImages/1.png\nImages/a\0b.png\n", "is not a table|cannot be read|skipped"),
    "a device": (lambda file: file.symlink_to("/dev/zero"), "it is not a regular file"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_bad_image_table_is_refused(study, refused, case):
    content, sentence = TABLES[case]
    table = study.parent / "t.csv"
    if content is not None:
        table.write_bytes(content) if isinstance(content, bytes) else content(table)
    study.write_text(STUDY.replace("targets: Images", "table: t.csv"))
    refused(["extract", study], sentence)
