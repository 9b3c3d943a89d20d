"""From an image of any size to the network's input: the resize rules that a study may state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from distspc.errors import BadImageError

Rule = Literal["stretch", "crop"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
RULES: tuple[Rule, ...] = get_args(Rule)
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)


@dataclass(frozen=True)
class Resize:
    """How an image becomes the network's input; by default as in the paper.

    Attributes
    ----------
    rule : str
        ``stretch``: to the input's height and width, aspect ratio ignored. ``crop``: the shortest side to that of the
        input, then the centre.
    interpolation : str
        One of `INTERPOLATIONS`.
    antialias : bool
        Whether pixels are averaged where an image is made smaller: Pillow's resampling, as torchvision's on images;
        without, OpenCV's, which looks at the nearest pixels alone.
    crop_share : float
        Share of the resized image's side that the centre crop keeps.
    """

    rule: Rule = "stretch"
    interpolation: Interpolation = "bilinear"
    antialias: bool = False
    crop_share: float = 1.0


PAPER = Resize()
MAX_RESIZED_PIXELS = 2**26


def resize_image(rgb: np.ndarray, size: tuple[int, int] = (224, 224), resize: Resize = PAPER) -> np.ndarray:
    """Resize to the network's input.

    Parameters
    ----------
    rgb
        uint8 (height, width, 3).
    size
        Wanted (height, width) in pixels.
    resize
        How; by default bilinear, no antialiasing, aspect ratio ignored.

    Returns
    -------
    np.ndarray
        uint8 (*size, 3).

    Raises
    ------
    BadImageError
        If it is so long and narrow that it would be too large before its centre is cut out.
    """
    wanted = _resized_size((rgb.shape[0], rgb.shape[1]), size, resize)
    if wanted[0] * wanted[1] > MAX_RESIZED_PIXELS:
        raise BadImageError(
            f"is {rgb.shape[1]} x {rgb.shape[0]}; with its shortest side resized to {min(wanted)} it would have "
            f"{wanted[0] * wanted[1]:,} pixels, more than {MAX_RESIZED_PIXELS:,}: crop it"
        )
    resized = _interpolated(rgb, wanted, resize)
    top, left = (round((have - want) / 2) for have, want in zip(resized.shape[:2], size, strict=True))
    return resized[top : top + size[0], left : left + size[1]]


def _resized_size(old: tuple[int, int], size: tuple[int, int], resize: Resize) -> tuple[int, int]:
    """Height and width before the centre is cut out."""
    height, width = (math.floor(side / resize.crop_share) for side in size)
    if resize.rule == "stretch":
        return height, width
    if height == width:  # as torchvision rounds
        short, long = sorted(old)
        other = int(height * long / short)
        return (height, other) if old[0] <= old[1] else (other, width)
    factor = max(height / old[0], width / old[1])
    return max(size[0], round(factor * old[0])), max(size[1], round(factor * old[1]))


def _interpolated(rgb: np.ndarray, size: tuple[int, int], resize: Resize) -> np.ndarray:
    """Resize to a height and width."""
    if resize.antialias:
        from PIL import Image

        how = Image.Resampling[resize.interpolation.upper()]
        return np.asarray(Image.fromarray(rgb).resize((size[1], size[0]), how))
    import cv2

    flags = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
    flag = flags.get(resize.interpolation, cv2.INTER_LANCZOS4)
    return np.asarray(cv2.resize(rgb, (size[1], size[0]), interpolation=flag))
