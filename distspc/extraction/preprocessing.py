"""From uint8 images to a network's input: the words `raw` and `caffe`, or every step stated by the study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from distspc.images.resizing import INTERPOLATIONS, RULES, Interpolation, Resize, Rule
from distspc.messages import unknown_key

CAFFE_MEAN_BGR = (104.006, 116.669, 122.679)
MAX_SIDE = 4096
CHANNELS = ("rgb", "bgr")
STEPS = (
    "mean", "std", "scale", "channels", "resize", "interpolation", "antialias", "crop-share", "size",
)  # fmt: skip
IN_WORDS = {
    "raw": "RGB from 0 to 255; stretched to the network's size, bilinear, no antialiasing",
    "caffe": "BGR minus 104.006, 116.669, 122.679; stretched to the network's size, bilinear, no antialiasing",
    "auto": "as the network's own function of keras.applications; stretched to the network's size, bilinear, no "
    "antialiasing",
}
"""What the words mean, for people."""


@dataclass(frozen=True)
class StatedPreprocessing:
    """Every step from an image to a network's input: ``(pixels * scale - mean) / std`` of the resized image.

    Attributes
    ----------
    mean, std : tuple of float
        By channel, in the order of `channels`.
    scale : float
        What pixels of 0 to 255 are multiplied by first.
    channels : str
        ``rgb`` or ``bgr``.
    resize : str
        ``stretch`` or ``crop`` (see `distspc.images.resizing.Resize`, as the next three).
    interpolation : str
        ``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``.
    antialias : bool
        Whether pixels are averaged where images are made smaller.
    crop_share : float
        Share of the resized image that the centre crop keeps.
    size : tuple of int or None
        Height and width of the input in pixels; None: the network's own.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale: float = 1.0
    channels: str = "rgb"
    resize: Rule = "stretch"
    interpolation: Interpolation = "bilinear"
    antialias: bool = False
    crop_share: float = 1.0
    size: tuple[int, int] | None = None

    @property
    def rule(self) -> Resize:
        """How an image becomes as large as the input."""
        return Resize(self.resize, self.interpolation, self.antialias, self.crop_share)

    def described(self) -> dict[str, Any]:
        """Every setting as a store keeps it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Turn resized images, uint8 (n, height, width, 3) RGB, into float32 of the same shape."""
        values = images[..., ::-1] if self.channels == "bgr" else images
        values = values.astype(np.float32) * np.float32(self.scale)
        values -= np.asarray(self.mean, np.float32)
        values /= np.asarray(self.std, np.float32)
        return values


def stated(content: Mapping[str, Any]) -> StatedPreprocessing:
    """Read a preprocessing that a study states step by step.

    Parameters
    ----------
    content
        Any of the keys ``mean``, ``std`` (also ``standard-deviation``), ``scale``, ``channels``, ``resize``,
        ``interpolation``, ``antialias``, ``crop-share``, ``size``. What is left out is as in `raw`; a crop is
        antialiased unless stated otherwise.

    Returns
    -------
    StatedPreprocessing

    Raises
    ------
    ValueError
        If a key is unknown or a value cannot be; names the key and what is expected.
    """
    given = {str(key).replace("_", "-"): value for key, value in content.items()}
    if "standard-deviation" in given:
        given["std"] = given.pop("standard-deviation")
    for key in given:
        if key not in STEPS:
            raise ValueError(unknown_key(key, STEPS))
    given = {key: value for key, value in given.items() if value is not None}
    resize = _word("resize", given.get("resize", "stretch"), RULES)
    return StatedPreprocessing(
        mean=_three("mean", given.get("mean", 0)),
        std=_three("std", given.get("std", 1), positive=True),
        scale=_number("scale", given.get("scale", 1), positive=True),
        channels=_word("channels", given.get("channels", "rgb"), CHANNELS),
        resize=resize,
        interpolation=_word("interpolation", given.get("interpolation", "bilinear"), INTERPOLATIONS),
        antialias=_truth("antialias", given.get("antialias", resize == "crop")),
        crop_share=_share(given.get("crop-share", 1)),
        size=_size(given.get("size")),
    )


def preprocess(images: np.ndarray, preprocessing: str | StatedPreprocessing = "raw") -> np.ndarray:
    """Turn resized images into the network's input.

    Parameters
    ----------
    images
        uint8 (n, height, width, 3), RGB.
    preprocessing
        ``raw``: as they are, 0 to 255. ``caffe``: BGR, minus 104.006, 116.669, 122.679. Or every step.

    Returns
    -------
    np.ndarray
        float32, same shape.
    """
    if isinstance(preprocessing, StatedPreprocessing):
        return preprocessing.apply(images)
    if preprocessing == "raw":
        return images.astype(np.float32)
    return images[..., ::-1].astype(np.float32) - np.asarray(CAFFE_MEAN_BGR, dtype=np.float32)


def in_words(preprocessing: str | StatedPreprocessing) -> str:
    """Say in one line what is done to the images."""
    if isinstance(preprocessing, str):
        return f"{preprocessing} ({IN_WORDS[preprocessing]})"
    return ", ".join(f"{key.replace('_', '-')} {value}" for key, value in preprocessing.described().items())


def _word(key: str, value: Any, allowed: Sequence[Any]) -> Any:
    if value not in allowed:
        raise ValueError(f"{key}: invalid value {value!r}: expected one of {', '.join(allowed)}")
    return value


def _truth(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{key}: invalid value {value!r}: expected true or false")
    return value


def _number(key: str, value: Any, *, positive: bool = False) -> float:
    """A number; a text such as ``1/255`` is one too."""
    try:
        number = float(Fraction(value)) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, ArithmeticError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or (positive and number <= 0):
        wanted = "a number greater than 0, such as 0.5 or 1/255" if positive else "a number"
        raise ValueError(f"{key}: invalid value {value!r}: expected {wanted}")
    return number


def _three(key: str, value: Any, *, positive: bool = False) -> tuple[float, float, float]:
    values = list(value) if isinstance(value, list | tuple) else [value] * 3
    if len(values) != 3:
        raise ValueError(f"{key}: invalid value {value!r}: expected one number, or three, a channel each")
    first, second, third = (_number(key, one, positive=positive) for one in values)
    return first, second, third


def _share(value: Any) -> float:
    share = _number("crop-share", value, positive=True)
    if share > 1:
        raise ValueError(f"crop-share: invalid value {value!r}: expected a share of at most 1")
    return share


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    sides = list(value) if isinstance(value, list | tuple) else [value, value]
    if len(sides) != 2 or not all(type(n) is int and 1 <= n <= MAX_SIDE for n in sides):
        raise ValueError(f"size: invalid value {value!r}: expected pixels, such as 224, or height and width [224, 224]")
    return sides[0], sides[1]
