"""From the bytes of an image file to the network's input, and what is wrong with bad files.

How a file becomes RGB, 8 bits a channel:

==================  ==========================================================================================
file                rule
==================  ==========================================================================================
8-bit RGB           as Pillow decodes it; embedded colour profiles are ignored
grey, bilevel       the grey value three times
palette             the palette's colours
transparency        laid over white (an opaque pixel keeps its colour exactly)
CMYK, YCbCr         Pillow's conversion, without a colour profile
16 bits a channel   the high byte (value // 256), grey and colour alike
32 bits a channel   refused: such pixels have no fixed range
EXIF orientation    ignored: the pixels as stored, as in the paper
several frames      the first
==================  ==========================================================================================

The kind of a file is read from its content, not from its name. The network's input is then
``cv2.resize(rgb, (width, height))``: bilinear, no antialiasing, aspect ratio ignored, uint8.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from typing import TYPE_CHECKING

import numpy as np

from distspc.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

# Only these of Pillow's decoders may open a file, whatever its name says (others start programs, or read more files).
_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

MAX_PIXELS = 89_478_485  # where Pillow begins to speak of decompression bombs: a quarter GiB of RGB
MAX_FILE_NBYTES = 2**30


class BadImageError(InputError):
    """An image file that cannot be used, and why.

    Attributes
    ----------
    reason : str
        One clause, without the file's name.
    file : str or None
        The file, where known.
    """

    def __init__(self, reason: str, file: str | None = None) -> None:
        super().__init__(reason, file)
        self.reason = reason
        self.file = file

    def __str__(self) -> str:
        return self.reason if self.file is None else f"image {self.file!r}: {self.reason}"


def read_file(file: str | os.PathLike[str]) -> bytes:
    """Read a whole image file.

    Parameters
    ----------
    file
        The file.

    Returns
    -------
    bytes

    Raises
    ------
    BadImageError
        If it is no readable regular file, is empty, or is larger than 1 GiB.
    """
    name = os.fspath(file)
    try:
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):  # a pipe would block for ever
            raise BadImageError("is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file", name)
        if status.st_size == 0:
            raise BadImageError("is empty (0 bytes)", name)
        if status.st_size > MAX_FILE_NBYTES:
            raise BadImageError(f"has {status.st_size} bytes, more than the {MAX_FILE_NBYTES} allowed", name)
        with open(name, "rb") as stream:
            return stream.read()
    except (OSError, ValueError) as error:
        if isinstance(error, BadImageError):
            raise
        raise BadImageError(os_reason(error), name) from error


def decode_image(data: bytes | str | os.PathLike[str]) -> np.ndarray:
    """Decode an image to RGB by the rules of this module.

    Parameters
    ----------
    data
        The content of an image file, or its path.

    Returns
    -------
    np.ndarray
        uint8 (height, width, 3).

    Raises
    ------
    BadImageError
        If it cannot be decoded, whole, to a sensible size.
    """
    if not isinstance(data, bytes):
        try:
            return decode_image(read_file(data))
        except BadImageError as error:
            raise BadImageError(error.reason, os.fspath(data)) from error
    import PIL.Image

    try:
        # PIL warns of a bomb, or refuses, or neither, as process-wide settings say; ours is the check below.
        with PIL.Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_size(image)
            return np.asarray(_to_rgb(image), dtype=np.uint8)
    except BadImageError:
        raise
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise BadImageError(f"has more than the {MAX_PIXELS} pixels allowed (decompression bomb?)") from error
    except PIL.UnidentifiedImageError as error:
        raise BadImageError("is not an image of a kind that is read (" + ", ".join(_FORMATS) + ")") from error
    except Exception as error:  # decoders raise nearly everything on damaged files
        raise BadImageError(f"cannot be decoded ({type(error).__name__}: {error})") from error


def resize_image(rgb: np.ndarray, size: tuple[int, int] = (224, 224)) -> np.ndarray:
    """Resize to the network's input: bilinear, no antialiasing, aspect ratio ignored.

    Parameters
    ----------
    rgb
        uint8 (height, width, 3).
    size
        Wanted (height, width) in pixels.

    Returns
    -------
    np.ndarray
        uint8 (*size, 3).
    """
    import cv2

    return np.asarray(cv2.resize(rgb, (size[1], size[0]), interpolation=cv2.INTER_LINEAR))


def network_input(
    file: str | os.PathLike[str], *, size: tuple[int, int] = (224, 224), digest: str | None = None
) -> np.ndarray:
    """Read, check, decode and resize one file; it is read once.

    Parameters
    ----------
    file
        The image file.
    size
        Height and width of the network's input in pixels.
    digest
        SHA-256 that the file had when it was scanned, ``sha256:...``; None takes any.

    Returns
    -------
    np.ndarray
        uint8 (*size, 3), RGB.

    Raises
    ------
    BadImageError
        If the file cannot be used, or is not the one that was scanned.
    """
    data = read_file(file)
    if digest is not None and digest_of(data) != digest:
        reason = "has changed since the study began; put the old file back, or use a new store"
        raise BadImageError(reason, os.fspath(file))
    try:
        return resize_image(decode_image(data), size)
    except BadImageError as error:
        raise BadImageError(error.reason, os.fspath(file)) from error


def digest_of(data: bytes) -> str:
    """Digest that names a file's content.

    Parameters
    ----------
    data
        The content.

    Returns
    -------
    str
        ``sha256:`` and 64 hexadecimal digits.
    """
    return "sha256:" + hashlib.sha256(data).hexdigest()


def os_reason(error: Exception) -> str:
    """Say in words what the operating system had against a path.

    Parameters
    ----------
    error
        The exception (``OSError``, or ``ValueError`` for an impossible path).

    Returns
    -------
    str
        A clause such as ``does not exist``.
    """
    code = getattr(error, "errno", None)
    words = {
        errno.ENOENT: "does not exist",
        errno.ELOOP: "is a loop of links",
        errno.EACCES: "may not be read (permissions)",
        errno.ENOTDIR: "is not a folder",
        errno.EISDIR: "is a folder",
    }
    return words.get(code, f"cannot be read ({error})") if code is not None else f"cannot be read ({error})"


def _to_rgb(image: Image) -> Image | np.ndarray:
    """Apply the table at the top of this module."""
    import PIL.Image

    if image.mode.startswith("I;16"):  # Pillow's own conversion clips at 255
        high = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(high[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise BadImageError("has 32 bits a channel, which have no fixed range; save it with 8 or 16")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PIL.Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return PIL.Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _check_size(image: Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        reason = f"is {width} x {height}, more than the {MAX_PIXELS} pixels allowed (decompression bomb?)"
        raise BadImageError(reason)
