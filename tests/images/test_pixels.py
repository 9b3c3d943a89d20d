"""Every depth and kind of pixel gives the picture of its 8-bit twin, or is refused by name."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc import errors
from distspc.images.decoding import decode_image, decode_picture


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
