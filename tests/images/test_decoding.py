"""Tests of: from the bytes of an image file to the network's input, and what is wrong with bad files."""

import io
import threading
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc import errors
from distspc.images import decoding
from distspc.images.resizing import resize_image
from tests.images.shared import claimed_size, encoded


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
    assert resize_image(decoding.decode_image(encoded(np.full((1, 1, 3), 7, np.uint8), "PNG"))).min() == 7


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


def test_network_input_is_the_resized_decoded_file(tmp_path, photograph):
    import cv2

    file = tmp_path / "a.jpg"
    file.write_bytes(encoded(photograph, "JPEG", quality=75))
    rgb = np.asarray(PIL.Image.open(io.BytesIO(file.read_bytes())).convert("RGB"))
    expected = cv2.resize(rgb, (224, 224))
    np.testing.assert_array_equal(decoding.network_input(file), expected)
    assert decoding.network_input(file, size=(50, 60)).shape == (50, 60, 3)


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
