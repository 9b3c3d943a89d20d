"""From the bytes of an image file to the network's input, and what is wrong with bad files.

How pixels become RGB is told in `distspc.images.pixels`. The kind of a file is read from its content, not from its
name. The network's input is then resized as `distspc.images.resizing` says.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import numpy as np

from distspc.errors import BadImageError
from distspc.images.pixels import FORMATS, Picture, read_pixels, unknown_kind
from distspc.images.resizing import PAPER, Resize, resize_image
from distspc.io.files import digest_of, irregularity, os_reason

if TYPE_CHECKING:
    from PIL.Image import Image


MAX_PIXELS = 89_478_485  # where Pillow begins to speak of decompression bombs: a quarter GiB of RGB
MAX_FILE_NBYTES = 2**30


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
        if reason := irregularity(status):
            raise BadImageError(reason, name)
        if status.st_size == 0:
            raise BadImageError("is empty (0 bytes)", name)
        if status.st_size > MAX_FILE_NBYTES:
            raise BadImageError(f"has {status.st_size:,} bytes, more than the {MAX_FILE_NBYTES:,} allowed", name)
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
    return decode_picture(data).rgb


def decode_picture(data: bytes) -> Picture:
    """Decode an image to RGB by the rules of this module, with what was converted or ignored.

    Parameters
    ----------
    data
        The content of an image file.

    Returns
    -------
    Picture

    Raises
    ------
    BadImageError
        If it cannot be decoded, whole, to a sensible size; or if its pixels have no certain meaning.
    """
    import PIL.Image

    try:
        # PIL warns of a bomb, or refuses, or neither, as process-wide settings say; ours is the check below.
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image)
            return read_pixels(image, data)
    except BadImageError:
        raise
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise BadImageError(f"has more than the {MAX_PIXELS:,} pixels allowed (decompression bomb?)") from error
    except PIL.UnidentifiedImageError as error:
        raise BadImageError(unknown_kind(data)) from error
    except Exception as error:  # decoders raise nearly everything on damaged files
        raise BadImageError(f"cannot be decoded ({type(error).__name__}: {error})") from error


def network_input(
    file: str | os.PathLike[str],
    *,
    size: tuple[int, int] = (224, 224),
    resize: Resize = PAPER,
    digest: str | None = None,
) -> np.ndarray:
    """Read, check, decode and resize one file; it is read once.

    Parameters
    ----------
    file
        The image file.
    size
        Height and width of the network's input in pixels.
    resize
        How the image becomes as large as that.
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
    try:
        return resize_image(checked_image(file, digest), size, resize)
    except BadImageError as error:
        raise BadImageError(error.reason, os.fspath(file)) from error


def checked_image(file: str | os.PathLike[str], digest: str | None = None) -> np.ndarray:
    """Read, check and decode one file; it is read once.

    Parameters
    ----------
    file, digest
        As in `network_input`.

    Returns
    -------
    np.ndarray
        uint8 (height, width, 3), RGB.

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
        return decode_image(data)
    except BadImageError as error:
        raise BadImageError(error.reason, os.fspath(file)) from error


def _check_size(image: Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        reason = f"is {width} x {height}, more than the {MAX_PIXELS:,} pixels allowed (decompression bomb?)"
        raise BadImageError(reason)
