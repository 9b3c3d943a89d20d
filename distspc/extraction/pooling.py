"""What of a layer's output is kept: all of it, or one vector for each image, pooled over its positions.

The output of a layer for one image is a vector (unit,), a map (row, column, channel) or tokens (token, channel). All
axes but the last are positions; a vector has one. Of tokens, the first may be *prefix tokens*: the class token, then
registers; the others are patches of the image. Pooling goes by timm's rule (its `global_pool_nlc`, with which
THINGSvision's features agree): the class token is the first token, and mean and maximum are taken over the patches,
without prefix tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from distspc.errors import InputError
from distspc.messages import counted, format_nbytes

Pooling = Literal["none", "mean", "max", "cls", "flatten"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)

MOST_PREFIX_TOKENS = 8
"""Tokens beyond a square of patches that are taken for prefix tokens where a network does not say."""


@dataclass(frozen=True)
class Prefix:
    """Tokens before those of patches, as a network or a study says.

    Attributes
    ----------
    n_tokens
        Number of prefix tokens.
    has_class_token
        Whether the first of them is a class token.
    """

    n_tokens: int
    has_class_token: bool


def pooled_shape(shape: Sequence[int], pooling: Pooling) -> tuple[int, ...]:
    """Shape of what is kept of one image.

    >>> pooled_shape((7, 7, 512), "mean"), pooled_shape((257, 768), "flatten")
    ((512,), (257, 768))
    """
    return tuple(shape) if pooling in ("none", "flatten") else (shape[-1],)


def n_prefix_tokens(layer: str, shape: Sequence[int], pooling: Pooling, known: Prefix | None) -> int:
    """Count the prefix tokens that a pooling leaves out; refuse what a layer does not have.

    Where neither network nor study says, the patches are taken to be a square: 257 tokens are 16 x 16 and one before.

    Parameters
    ----------
    layer
        Name of the layer, for messages.
    shape
        Shape of its output for one image.
    pooling
        What is kept of it.
    known
        Prefix tokens as the network or the study says; None where neither does.

    Returns
    -------
    int
        0 where nothing is pooled, and for vectors and maps.

    Raises
    ------
    InputError
        If the class token is asked for where there is none, or the number of prefix tokens is not known.

    Examples
    --------
    >>> n_prefix_tokens("blocks.11", (261, 768), "mean", None)
    5
    """
    is_tokens = len(shape) == 2
    if pooling == "cls":
        _require_class_token(layer, shape, known)
    if not is_tokens or pooling not in ("mean", "max"):
        return 0
    n = _beyond_square(shape[0]) if known is None else known.n_tokens
    if n is None:
        raise InputError(
            f"{layer}: cannot tell which of its {counted(shape[0], 'token')} are patches (they are no square, nor a "
            f"square and up to {MOST_PREFIX_TOKENS} more); set `prefix-tokens` under `model`, 0 where all are patches"
        )
    if n >= shape[0]:
        raise InputError(
            f"{layer}: `prefix-tokens: {n}` leaves no patches of its {counted(shape[0], 'token')}; state fewer"
        )
    return n


def _require_class_token(layer: str, shape: Sequence[int], known: Prefix | None) -> None:
    if len(shape) != 2:
        sizes = " x ".join(map(str, shape))
        raise InputError(
            f"{layer}: `pooling: cls` keeps the class token, and its output, {sizes}, is no row of tokens; take mean, "
            "max or none there"
        )
    if not (_beyond_square(shape[0]) != 0 if known is None else known.has_class_token):
        reason = "the network has none" if known else f"{shape[0]} are a square of patches"
        raise InputError(
            f"{layer}: `pooling: cls` keeps the class token, and there is none among its tokens ({reason}); take mean, "
            "max or flatten there" + ("" if known else ", or state `prefix-tokens` under `model`")
        )


def _beyond_square(n_tokens: int) -> int | None:
    """Tokens beyond the largest square; None where they are too many for prefix tokens."""
    n = n_tokens - math.isqrt(n_tokens) ** 2
    return n if n <= MOST_PREFIX_TOKENS else None


def pool(values: np.ndarray, pooling: Pooling, n_prefix: int = 0) -> np.ndarray:
    """Keep of a batch's outputs what is asked for.

    Parameters
    ----------
    values
        (image, *shape of the layer).
    pooling
        ``none`` and ``flatten``: all; ``cls``: the first token; ``mean`` and ``max``: over positions.
    n_prefix
        Tokens that mean and maximum leave out.

    Returns
    -------
    np.ndarray
        (image, *pooled shape); means are taken in float64 and are float32.
    """
    if pooling in ("none", "flatten") or values.ndim == 2:
        return values
    if pooling == "cls":
        return values[:, 0]
    positions = values.reshape(len(values), -1, values.shape[-1])[:, n_prefix:]
    if pooling == "max":
        return np.asarray(positions.max(axis=1))
    return np.asarray(positions.mean(axis=1, dtype=np.float64).astype(np.float32))


def refuse_unpooled(
    shapes: Mapping[str, Sequence[int]], pooling: Mapping[str, Pooling], n_images: int, item_nbytes: int
) -> None:
    """Ask what is to be kept of tokens where the study does not say.

    Parameters
    ----------
    shapes
        By layer, the shape of what is kept of one image.
    pooling
        By layer, where it is not ``none``.
    n_images
        Images of the study.
    item_nbytes
        Bytes of a stored number.

    Raises
    ------
    InputError
        Names the first such layer, the choices and the bytes of each.
    """
    for layer, shape in shapes.items():
        if len(shape) == 2 and pooling.get(layer, "none") == "none":
            nbytes = shape[1] * n_images * item_nbytes
            raise InputError(
                f"{layer} has {counted(shape[0], 'token')} of {counted(shape[1], 'feature')} for each image: choose "
                "what is stored of them, "
                f"`pooling` under `model` or by layer (layers: [{{name: {layer}, pooling: cls}}]): cls, mean or max, "
                f"{format_nbytes(nbytes)} for {counted(n_images, 'image')}; or flatten, all tokens, "
                f"{format_nbytes(shape[0] * nbytes)}"
            )
