"""Pixel baselines: what a reviewer asks for before any network."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distspc.measures.base import ByImage, Column, Place
from distspc.measures.options import Options, whole

JPEG_QUALITY = 75
CANNY_SIGMA = 1.0  # pixels
AT_ONE_SIZE = "`{name: pixels, size: 256}` under `measures` takes all at one size."
LUMINANCE = (0.2125, 0.7154, 0.0721)  # of scikit-image's rgb2gray


@dataclass(frozen=True)
class PixelOptions(Options):
    """Settings of the pixel baselines.

    Attributes
    ----------
    size
        Height and width that images are stretched to first (bilinear, antialiased); 0: each at its own size.
    """

    size: int = whole(0, least=0, most=4096)


class Pixels(ByImage):
    """JPEG bytes, edges, contrast and colourfulness of the decoded image, at its own size unless `size` is set.

    - ``jpeg_nbytes``: bytes of the image as a JPEG of quality 75 (Pillow, 4:2:0);
    - ``edge_share``: share of pixels on Canny edges of the luminance in 0..1 (scikit-image, sigma 1 pixel);
    - ``luminance_contrast``: standard deviation of the luminance in 0..1 (RMS contrast), luminance
      0.2125 R + 0.7154 G + 0.0721 B;
    - ``colourfulness``: sqrt(var rg + var yb) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2), rg = R - G, yb = (R + G) / 2 - B,
      of values 0..255 (Hasler & Suesstrunk 2003, M3).

    Bytes and edges depend on the size of an image: where images differ in size, set `size`.
    """

    word = "pixels"
    needs = "images"
    columns = (
        Column("jpeg_nbytes", "size as a JPEG", "need more bytes as a JPEG", "byte"),
        Column("edge_share", "share of edges", "have more edges"),
        Column("luminance_contrast", "luminance contrast", "have more contrast"),
        Column("colourfulness", "colourfulness", "are more colourful"),
    )
    source = "Canny 1986; Hasler & Suesstrunk 2003; RMS contrast after Peli 1990"
    options = PixelOptions
    flop_per_value = 2000.0  # measured: 20 ms for 256 x 256 on a core, most of it edges

    def remarks(self, places: Sequence[Place]) -> list[str]:
        """Say that images differ in size, where each is measured at its own."""
        own_size = [place for place in places if not place.options.size]
        if not own_size:
            return []
        sides = np.stack([own_size[0].store.images.read(name) for name in ("width", "height")], axis=1)
        if (sides < 0).any():  # activations that others made: the files were not looked at
            return [f"Bytes and edges depend on the size of an image, which is its own here: {AT_ONE_SIZE}"]
        if not _differ(sides):
            return []
        small, large = (
            " x ".join(map(str, sides[i])) for i in (sides.prod(axis=1).argmin(), sides.prod(axis=1).argmax())
        )
        return [
            f"The images differ in size ({small} to {large} pixels), and bytes and edges depend on it: " + AT_ONE_SIZE
        ]

    def of_image(self, values: np.ndarray, options: Any = None) -> Sequence[float]:
        """Measure one image.

        Parameters
        ----------
        values
            uint8 (height, width, 3), RGB.
        options
            `PixelOptions`; each image at its own size by default.

        Returns
        -------
        list of float
            One for each column, in their order.
        """
        from skimage.feature import canny

        rgb = _resized(values, options.size if options is not None else 0)
        luminance = rgb @ np.asarray(LUMINANCE) / 255
        edges = canny(luminance, sigma=CANNY_SIGMA)
        return [_jpeg_nbytes(rgb), float(edges.mean()), float(luminance.std()), _colourfulness(rgb)]


def _differ(sides: np.ndarray) -> bool:
    return bool(len(sides)) and bool((sides != sides[0]).any())


def _resized(rgb: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image

    if not size or rgb.shape[:2] == (size, size):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BILINEAR))


def _jpeg_nbytes(rgb: np.ndarray) -> int:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.tell()


def _colourfulness(rgb: np.ndarray) -> float:
    red, green, blue = np.moveaxis(rgb.astype(np.float64), -1, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


MEASURE = Pixels()
