"""What the tests of this folder share."""

import io
import struct
import zlib
from pathlib import Path

import PIL.Image
import skimage

SHIPPED = Path(skimage.__file__).parent / "data"


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
