"""Tests of: from the bytes of an image file to the network's input, and what is wrong with bad files."""

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import sklearn.datasets
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc import errors
from distspc.images import decoding
from distspc.images.decoding import decode_image, decode_picture
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


def tiff(values, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, metadata=None, **options)
    return stream.getvalue()


def png(values, depth, colour, **chunks):
    """A PNG written by hand: `values` (row, column) or (row, column, channel), colour type as the format has it."""
    rows = values.reshape(len(values), -1)
    bits = ((rows[..., None].astype(np.uint16) >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
    packed = np.packbits(bits.reshape(len(rows), -1), axis=1)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, colour, 0, 0, 0)
    extra = b"".join(chunk(kind.encode(), data) for kind, data in chunks.items())
    data = b"".join(b"\0" + row.tobytes() for row in packed)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def twin(grey_or_rgb, alpha=None):
    """The picture that an 8-bit file gives: grey three times, laid over white."""
    rgb = np.dstack([grey_or_rgb] * 3) if grey_or_rgb.ndim == 2 else grey_or_rgb
    if alpha is None:
        return rgb
    image = PIL.Image.fromarray(np.dstack([rgb, alpha]))
    white = PIL.Image.new("RGBA", image.size, (255, 255, 255, 255))
    return np.asarray(PIL.Image.alpha_composite(white, image).convert("RGB"))


def noise(seed, channels=None):
    shape = (6, 8) if channels is None else (6, 8, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


SCALES = {"u1": 1, "u2": 257, "u4": 16843009}


def deeper(values, kind):
    """8-bit values as another kind of number, over its full range."""
    if kind in SCALES:
        return values.astype(kind) * np.array(SCALES[kind], kind)
    if kind.startswith("i"):
        return (deeper(values, "u" + kind[1:]).astype(np.int64) - 2 ** (8 * int(kind[1]) - 1)).astype(kind)
    return (values / 255).astype(kind)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    kind=st.sampled_from(["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"]),
    channels=st.sampled_from(["grey", "white is 0", "grey and alpha", "RGB", "RGBA", "CMYK"]),
    byteorder=st.sampled_from("<>"),
    compression=st.sampled_from([None, "zlib"]),
    planar=st.booleans(),
    orientation=st.integers(1, 8),
)
def test_a_tiff_gives_its_8_bit_twin_or_is_refused(seed, kind, channels, byteorder, compression, planar, orientation):
    n = {"grey and alpha": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}.get(channels)
    eight = noise(seed, n)
    values = deeper(255 - eight if channels == "white is 0" else eight, kind)
    options = {
        "photometric": {"white is 0": "miniswhite", "RGB": "rgb", "RGBA": "rgb", "CMYK": "separated"}.get(
            channels, "minisblack"
        )
    }
    if channels in ("grey and alpha", "RGBA"):
        options["extrasamples"] = ["unassalpha"]
    if n is not None:
        options["planarconfig"] = "separate" if planar else "contig"
        values = np.ascontiguousarray(values.transpose(2, 0, 1)) if planar else values
    options["extratags"] = [(274, "H", 1, orientation, True)]
    data = tiff(values, byteorder=byteorder, compression=compression, **options)
    expected = {
        "CMYK": lambda: np.asarray(PIL.Image.fromarray(eight, "CMYK" if n == 4 else None).convert("RGB")),
        "RGBA": lambda: twin(eight[..., :3], eight[..., 3]),
        "grey and alpha": lambda: twin(eight[..., 0], eight[..., 1]),
    }.get(channels, lambda: twin(eight))
    try:
        found = decode_picture(data)
    except errors.BadImageError as error:
        refused = error.reason
    else:
        refused = None
    if refused is not None:
        assert kind != "u1" or channels == "grey and alpha"
        assert "PNG" in refused
        return
    np.testing.assert_array_equal(found.rgb, expected())
    assert ("orientation" in found.remarks) is (orientation != 1)
    assert ("depth" in found.remarks) is (kind == "u2")
    assert kind in ("u1", "u2")


def test_16_bits_with_white_at_0_are_not_negative():
    grey = noise(0)
    found = decode_image(tiff(deeper(255 - grey, "u2"), photometric="miniswhite"))
    np.testing.assert_array_equal(found, twin(grey))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("clear", [False, True])
def test_a_grey_png_gives_its_8_bit_twin(depth, clear):
    top = 2**depth - 1
    values = np.arange(48).reshape(6, 8) * 5 % (top + 1) if depth < 16 else noise(1).astype(int) * 257 + 3
    values = np.minimum(values, top)
    chunks = {"tRNS": struct.pack(">H", values[2, 3])} if clear else {}
    found = decode_picture(png(values, depth, 0, **chunks))
    eight = (values >> 8 if depth == 16 else values * 255 // top).astype(np.uint8)
    expected = np.where(values == values[2, 3], 255, eight).astype(np.uint8) if clear else eight
    np.testing.assert_array_equal(found.rgb, twin(expected))
    assert ("transparent" in found.remarks) is clear


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("colour", "n"), [(2, 3), (4, 2), (6, 4)])
def test_a_colour_or_alpha_png_gives_its_8_bit_twin(depth, colour, n):
    eight = noise(2, n)
    found = decode_image(png(eight.astype(int) * (257 if depth == 16 else 1), depth, colour))
    parts = (eight,) if n == 3 else (eight[..., 0] if n == 2 else eight[..., :3], eight[..., -1])
    np.testing.assert_array_equal(found, twin(*parts))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("clear", [False, True])
def test_a_palette_png_gives_its_colours(depth, clear):
    n = 2**depth
    palette, alpha = noise(3, 200)[0, 0].repeat(4)[: 3 * n].reshape(n, 3), np.linspace(0, 255, n).astype(np.uint8)
    values = np.arange(48).reshape(6, 8) % n
    chunks = {"PLTE": palette.tobytes()} | ({"tRNS": alpha.tobytes()} if clear else {})
    found = decode_picture(png(values, depth, 3, **chunks))
    np.testing.assert_array_equal(found.rgb, twin(palette[values], alpha[values] if clear else None))
    assert "palette" in found.remarks


def test_a_transparent_colour_of_8_bits_is_white_and_of_16_refused():
    rgb = noise(4, 3)
    clear = struct.pack(">HHH", *map(int, rgb[1, 1]))
    expected = np.where((rgb == rgb[1, 1]).all(axis=2, keepdims=True), 255, rgb)
    np.testing.assert_array_equal(decode_image(png(rgb, 8, 2, tRNS=clear)), expected)
    with pytest.raises(errors.BadImageError, match=r"16 bits a channel and one transparent colour.*8-bit PNG"):
        decode_image(png(rgb.astype(int) * 257, 16, 2, tRNS=clear))


def packed_12_bits(values):
    """A TIFF of one row of 12-bit grey, two values in three bytes."""
    bits = ((values[:, None] >> np.arange(11, -1, -1)) & 1).astype(np.uint8)
    raw = np.packbits(bits.ravel()).tobytes()
    rows = [
        (256, len(values)),
        (257, 1),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 122),
        (277, 1),
        (278, 1),
        (279, len(raw)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in rows)
    return (b"II*\0" + struct.pack("<IH", 8, len(rows)) + entries + bytes(4)).ljust(122, b"\0") + raw


def test_12_bits_keep_their_high_8():
    values = np.array([0, 15, 16, 2048, 4079, 4095])
    assert decode_image(packed_12_bits(values))[0, :, 0].tolist() == (values // 16).tolist()


@pytest.mark.parametrize(("top", "low"), [(255, True), (4095, True), (4096, False), (65535, False)])
@pytest.mark.parametrize("channels", [None, 3])
def test_values_in_the_lower_bits_only_are_remarked_and_scaled_by_the_full_range(top, low, channels):
    values = np.full((4, 5) if channels is None else (4, 5, 3), top, np.uint16)
    values[0] = 0
    for data in (tiff(values, photometric="rgb" if channels else "minisblack"), png(values, 16, 2 if channels else 0)):
        found = decode_picture(data)
        assert ("low bits" in found.remarks) is low
        assert found.rgb.max() == top >> 8


@pytest.mark.parametrize(
    ("mode", "kind", "remarks"),
    [
        ("RGB", "PNG", ()),
        ("L", "JPEG", ()),
        ("RGB", "JPEG", ()),
        ("1", "TIFF", ()),
        ("CMYK", "JPEG", ("colours",)),
        ("LAB", "TIFF", ("colours",)),
        ("YCbCr", "TIFF", ("colours",)),
        ("P", "BMP", ("palette",)),
        ("RGBA", "PNG", ("extra channel",)),
    ],
)
def test_what_is_converted_is_remarked_and_nothing_else(mode, kind, remarks):
    image = PIL.Image.new(
        mode, (4, 4), 255 if mode in "1LP" else tuple([255] * len(PIL.Image.new(mode, (1, 1)).getbands()))
    )
    if mode == "P":
        image.putpalette([10, 200, 30] * 256)
    stream = io.BytesIO()
    image.save(stream, kind)
    assert decode_picture(stream.getvalue()).remarks == remarks


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_never_applied_and_always_remarked(kind, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    files = []
    for options in ({}, {"exif": exif}):
        stream = io.BytesIO()
        PIL.Image.fromarray(noise(5, 3)).save(stream, kind, **options)
        files.append(decode_picture(stream.getvalue()))
    np.testing.assert_array_equal(files[1].rgb, files[0].rgb)
    assert files[0].remarks == ()
    assert files[1].remarks == (("orientation",) if orientation != 1 else ())


def test_subsampled_ycbcr_without_compression_is_refused():
    stream = io.BytesIO()
    PIL.Image.fromarray(noise(6, 3)).convert("YCbCr").save(stream, "TIFF")
    data = stream.getvalue()
    assert decode_picture(data).remarks == ("colours",)
    tag = struct.pack("<HHI", 530, 3, 2)
    at = data.index(tag) + len(tag)
    with pytest.raises(errors.BadImageError, match=r"subsampled colour.*8-bit PNG"):
        decode_image(data[:at] + struct.pack("<HH", 2, 2) + data[at + 4 :])


def bmp(values, bits, *, palette=b"", masks=b""):
    """A BMP written by hand, rows from the bottom up, each filled to 4 bytes."""
    rows = [row.tobytes() if bits >= 8 else np.packbits(_bits(row, bits)).tobytes() for row in values[::-1]]
    data = b"".join(row + bytes(-len(row) % 4) for row in rows)
    size, offset = len(data), 54 + len(masks) + len(palette)
    height, width = values.shape[:2]
    header = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, 3 if masks else 0, size, 0, 0, len(palette) // 4, 0
    )
    return b"BM" + struct.pack("<IHHI", offset + size, 0, 0, offset) + header + masks + palette + data


def _bits(row, bits):
    return ((row[:, None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_bmp_with_a_palette_gives_its_colours(bits):
    colours = np.random.default_rng(7).integers(0, 256, (2**bits, 3)).astype(np.uint8)
    values = (np.arange(48).reshape(6, 8) % 2**bits).astype(np.uint8)
    palette = np.pad(colours[:, ::-1], ((0, 0), (0, 1))).tobytes()
    np.testing.assert_array_equal(decode_image(bmp(values, bits, palette=palette)), colours[values])


def test_a_bmp_of_24_or_32_bits_gives_its_colours():
    rgb = noise(8, 3)
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    np.testing.assert_array_equal(decode_image(bmp(bgr, 24)), rgb)
    np.testing.assert_array_equal(decode_image(bmp(np.pad(bgr, ((0, 0), (0, 0), (0, 1))), 32)), rgb)


@pytest.mark.parametrize(("greens", "masks"), [(5, b""), (6, struct.pack("<III", 0xF800, 0x07E0, 0x001F))])
def test_a_bmp_of_16_bits_a_pixel_gives_its_colours_over_the_full_range(greens, masks):
    levels = [np.random.default_rng(9).integers(0, 2**n, (6, 8)) for n in (5, greens, 5)]
    values = (levels[0] << (5 + greens) | levels[1] << 5 | levels[2]).astype("<u2")
    expected = np.dstack([v * 255 / (2**n - 1) for v, n in zip(levels, (5, greens, 5), strict=True)])
    assert np.abs(decode_image(bmp(values, 16, masks=masks)) - expected).max() <= 1
