"""From the pixels of an image file, of any depth and kind, to RGB with 8 bits a channel.

How a file becomes RGB, 8 bits a channel:

==================  ==========================================================================================
file                rule
==================  ==========================================================================================
8-bit RGB           as Pillow decodes it; embedded colour profiles are ignored
grey, bilevel       the grey value three times; where 0 is white (TIFF), inverted
palette             the palette's colours
transparency        laid over white (an opaque pixel keeps its colour exactly); other extra channels dropped
CMYK, YCbCr, LAB    Pillow's conversion, without a colour profile
12, 16 bits         the high 8 bits of the full range, grey and colour alike, whatever range the values use
32 bits, signed     refused: such pixels have no fixed range
orientation         never applied (EXIF, TIFF, XMP): the pixels as stored, as in the paper
several frames      the first
==================  ==========================================================================================
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from distspc.errors import BadImageError

if TYPE_CHECKING:
    from PIL.Image import Image


# Only these of Pillow's decoders may open a file, whatever its name says (others start programs, or read more files).
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
# What may be remarked about a file that is read: what it has and what is done with it; whether to stop and look.
REMARKS: dict[str, tuple[str, bool]] = {
    "orientation": ("an orientation other than 1 (EXIF); read as stored, not turned", True),
    "low bits": (
        "16 bits a channel and no value above 4095; scaled by the full range, so very dark: scale the values to the "
        "full range, or save 8-bit PNG",
        True,
    ),
    "depth": ("more than 8 bits a channel; reduced to the high 8 bits", False),
    "transparent": ("transparent pixels; laid over white", False),
    "extra channel": ("an opaque alpha channel or another extra channel; this is dropped", False),
    "palette": ("a palette; read as its colours", False),
    "colours": ("CMYK, YCbCr (TIFF) or LAB colours; converted to RGB without a colour profile", False),
    "frames": ("several frames; the first is read", False),
}

_ORIENTATION, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 0x0112, 258, 259, 262, 277, 284  # TIFF's tags
_EXTRA, _SAMPLE_FORMAT, _SUBSAMPLING = 338, 339, 530
_AS_PNG = "save it as 8-bit PNG"


class Picture(NamedTuple):
    """A decoded image, and what is to be said about it."""

    rgb: np.ndarray
    """uint8 (height, width, 3)."""
    remarks: tuple[str, ...]
    """Keys of `REMARKS`."""


def read_pixels(image: Image, data: bytes) -> Picture:
    """Turn an image that Pillow has opened, and not yet loaded, into RGB by the table at the top of this module.

    Parameters
    ----------
    image
        The image.
    data
        The content of its file.

    Returns
    -------
    Picture

    Raises
    ------
    BadImageError
        If its pixels have no certain meaning; whatever Pillow raises if it cannot be decoded.
    """
    tags = dict(image.tag_v2) if image.format == "TIFF" else {}  # type: ignore[attr-defined]
    depth = _depth(image, data, tags)
    _refuse_pixels(image, depth, tags)
    turned = _orientation(image) if tags else 1  # before Pillow turns it and forgets the tag: other formats it leaves
    image.load()
    orientation = turned if tags else _orientation(image)
    animated, mode = bool(getattr(image, "is_animated", False)), image.mode
    if turned != 1:
        image = _as_stored(image, turned)
    if mode.startswith("I;16"):
        rgb, transparent, low = _grey_of_many_bits(image, depth, inverted=tags.get(_PHOTOMETRIC) == 0)
    else:
        low = depth == 16 and mode != "CMYK" and bool(np.asarray(image.convert("RGB")).max() < 16)
        rgb, transparent = _rgb_of_bytes(image, depth)
    found = {
        "orientation": orientation != 1,
        "low bits": low,
        "depth": depth > 8,
        "transparent": bool(transparent),
        "extra channel": transparent is False or (_EXTRA in tags and transparent is None),
        "palette": mode in ("P", "PA"),
        "colours": mode in ("CMYK", "YCbCr", "LAB") or tags.get(_PHOTOMETRIC) == 6,
        "frames": animated,
    }
    return Picture(rgb, tuple(name for name, is_so in found.items() if is_so))


def _rgb_of_bytes(image: Image, depth: int) -> tuple[np.ndarray, bool | None]:
    """RGB of an image that Pillow holds in bytes; whether a pixel is transparent, None where none could be."""
    import PIL.Image

    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"), dtype=np.uint8), None
    clear = image.info.get("transparency")
    if image.mode == "L" and depth in (2, 4) and isinstance(clear, int):  # Pillow scales the pixels, not this value
        image.info["transparency"] = (clear & (2**depth - 1)) * (255 // (2**depth - 1))
    rgba = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
    white = PIL.Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    rgb = np.asarray(PIL.Image.alpha_composite(white, rgba).convert("RGB"), dtype=np.uint8)
    return rgb, bool(np.asarray(rgba)[..., 3].min() < 255)


def _grey_of_many_bits(image: Image, depth: int, *, inverted: bool) -> tuple[np.ndarray, bool | None, bool]:
    """RGB of grey of 12 or 16 bits (Pillow's own conversion clips at 255); a clear pixel; lower bits alone used."""
    values = np.asarray(image)
    high = (values >> (depth - 8)).astype(np.uint8)
    high = 255 - high if inverted else high
    clear = image.info.get("transparency")
    if clear is not None:
        high = np.where(values == clear, np.uint8(255), high)
    transparent = None if clear is None else bool((values == clear).any())
    return np.repeat(high[:, :, None], 3, axis=2), transparent, depth == 16 and bool(values.max() < 4096)


def _depth(image: Image, data: bytes, tags: dict[int, Any]) -> int:
    """Bits a channel, as the file says."""
    if tags:
        return int(max(tags.get(_BITS, (1,))))
    return data[24] if image.format == "PNG" and data[12:16] == b"IHDR" else 8


def _refuse_pixels(image: Image, depth: int, tags: dict[int, Any]) -> None:
    """Refuse pixels that have no fixed range, and those that Pillow is known to decode to something else."""
    raw = tags.get(_COMPRESSION, 1) == 1
    if 2 in np.atleast_1d(tags.get(_SAMPLE_FORMAT, 1)):
        raise BadImageError(f"has signed pixels ({depth} bits a channel), which have no fixed range; {_AS_PNG}")
    if image.mode in ("I", "F"):
        raise BadImageError("has 32 bits a channel, which have no fixed range; save it with 8 or 16, such as 8-bit PNG")
    if tags.get(_PLANAR, 1) == 2 and tags.get(_SAMPLES, 1) > 1:
        known = tags.get(_PHOTOMETRIC) in (2, 5)  # RGB, CMYK
        if not known or (raw and (depth > 8 or 1 in tags.get(_EXTRA, ()))):  # 1: colours times alpha
            raise BadImageError(
                f"has {depth}-bit {image.mode} pixels in separate planes, which are not read; {_AS_PNG}"
            )
    if raw and tags.get(_PHOTOMETRIC) == 6 and tuple(tags.get(_SUBSAMPLING, (2, 2))) != (1, 1):
        raise BadImageError(f"has uncompressed YCbCr pixels with subsampled colour, which are not read; {_AS_PNG}")
    if image.format == "PNG" and depth == 16 and image.mode == "RGB" and "transparency" in image.info:
        raise BadImageError(f"has 16 bits a channel and one transparent colour, which is not read; {_AS_PNG}")


def _orientation(image: Image) -> int:
    """Orientation as the file says, 1 to 8; 1 where it says none, or nothing that can be understood."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata raise nearly everything, and are no part of the picture
        return 1
    return value if value in range(1, 9) else 1


def _as_stored(image: Image, orientation: int) -> Image:
    """Undo the orientation that Pillow applies to TIFF, and to no other format, as it loads the pixels."""
    from PIL.Image import Transpose

    back = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_90,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_270,
    }
    return image.transpose(back[orientation])


def unknown_kind(data: bytes) -> str:
    """Say why Pillow knows no way to decode a file: another kind of file, or a TIFF with pixels of another kind.

    Parameters
    ----------
    data
        The content of the file.

    Returns
    -------
    str
        A clause, the reason of a `BadImageError`.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    if data[:4] in (b"II*\0", b"MM\0*"):
        try:
            tags = ImageFileDirectory_v2(data[:8])
            stream = io.BytesIO(data)
            stream.seek(tags.next)
            tags.load(stream)
            bits, kinds = np.atleast_1d(tags.get(_BITS, 1)), np.atleast_1d(tags.get(_SAMPLE_FORMAT, 1))
            kind = {1: "unsigned", 2: "signed", 3: "float"}.get(int(kinds[0]), "other")
            white = ", 0 is white" if tags.get(_PHOTOMETRIC) == 0 else ""
            each = f"{len(bits)} x {bits[0]} bits, {kind}{white}"
            return f"is not an image of a kind that is read: a TIFF with pixels of {each}; {_AS_PNG}"
        except Exception:  # damaged files raise nearly everything
            return "is not an image of a kind that is read: a TIFF whose description of its pixels is damaged"
    return "is not an image of a kind that is read (" + ", ".join(FORMATS) + ")"
