"""What every kind of network gives: its layers, the size of its input, the outputs of a batch; and random weights."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from distspc.errors import InputError

DEFAULT_SIDE = 224
"""Height and width of the input in pixels where a network takes any."""


@dataclass(frozen=True)
class NetworkLayer:
    """One layer of a network: its name, what it does, and the shape of its output for one image.

    Attributes
    ----------
    name : str
        As a study names it; a layer of a model inside a model is ``outer/inner``.
    kind : str
        Class of the layer, or the operation.
    shape : tuple of int
        (row, column, channel), (token, channel) or (unit,); None where it is not fixed.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...]

    @property
    def n_features(self) -> int | None:
        """Number of values of one image; None where the shape is not fixed."""
        return None if None in self.shape else math.prod(n for n in self.shape if n is not None)


@dataclass(frozen=True)
class Memory:
    """Bytes of a worker that runs a network, its imports counted.

    Attributes
    ----------
    building : int
        Most while the network is read and built.
    built : int
        With the network at rest.
    image : int
        What each image of a batch takes on its way.
    left : int
        Once the network is given back.
    """

    building: int
    built: int
    image: int
    left: int

    @classmethod
    def of(cls, imports: int, n_copies: int, n_parameters: int, n_largest: int) -> Memory:
        """Memory by sizes, as measured with ResNet-50, MobileNetV2 and vision transformers (`benchmarks/README.md`).

        Parameters
        ----------
        imports
            Bytes of a worker with what this kind of networks imports.
        n_copies
            How often the weights are in memory while the network is built.
        n_parameters, n_largest
            Values of the weights, and of the largest activations of one image; float32.
        """
        return cls(imports + 4 * n_copies * n_parameters, imports + 8 * n_parameters, 16 * n_largest, imports)


@dataclass(frozen=True)
class NetworkSize:
    """How large the requested part of a network is.

    Attributes
    ----------
    shapes : mapping
        Shape of each requested layer's output for one image, by layer.
    flop : float
        Operations of a forward pass for one image: two for every multiplication and addition with weights.
    memory : Memory
        Of a worker that runs it.
    prefix_tokens : mapping
        Tokens before those of patches that the pooling of a layer leaves out, by layer; 0 where nothing is pooled.
    """

    shapes: Mapping[str, tuple[int, ...]]
    flop: float
    memory: Memory
    prefix_tokens: Mapping[str, int] = field(default_factory=dict)


class Backend(Protocol):
    """A network that is ready to run, cut at its deepest requested layer."""

    input_size: tuple[int, int]
    """Height and width of the input in pixels."""

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        """Outputs of the requested layers.

        Parameters
        ----------
        images
            float32 (n, height, width, 3), preprocessed.

        Returns
        -------
        mapping
            By layer, (n, *shape), channels last.
        """


def fixed_shape(layer: str, shape: Sequence[Any]) -> tuple[int, ...]:
    """Shape of a layer's output for one image.

    Raises
    ------
    InputError
        If it has no size, or none that is fixed.
    """
    if not shape or not all(isinstance(n, int) for n in shape):
        raise InputError(
            f"layer {layer!r} has outputs of shape ({', '.join(map(str, shape))}), whose size is not fixed"
        )
    return tuple(shape)


def settled_size(fixed: Sequence[Any], wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of the input: as the network fixes it, else as wanted, else 224.

    Parameters
    ----------
    fixed
        Height and width as the network has them; anything but a number where it takes any.
    wanted
        As the study states it.

    Raises
    ------
    InputError
        If they differ.
    """
    sides = tuple(n if isinstance(n, int) and n > 0 else None for n in fixed)
    if wanted and any(n not in (None, w) for n, w in zip(sides, wanted, strict=True)):
        raise InputError(
            f"preprocessing: size {wanted[0]} x {wanted[1]}: the network takes {sides[0]} x {sides[1]}; leave it out"
        )
    height, width = wanted or (sides[0] or DEFAULT_SIDE, sides[1] or DEFAULT_SIDE)
    return height, width


def random_kernel(shape: Sequence[int], fan_in: int, *, seed: int, name: str) -> np.ndarray:
    """Draw a random kernel, the same on every machine and backend: uniform, He-scaled (variance 2 / `fan_in`).

    The stream depends on the name, so a layer's weights are the same however much of the network is built.

    Parameters
    ----------
    shape
        Shape of the kernel.
    fan_in
        Number of inputs of one unit.
    seed
        Seed of the network.
    name
        Name of the layer.

    Returns
    -------
    np.ndarray
        float32.
    """
    values = np.random.default_rng([seed, zlib.crc32(name.encode())]).random(tuple(shape), dtype=np.float32)
    limit = np.float32(math.sqrt(6.0 / max(fan_in, 1)))
    values -= np.float32(0.5)
    values *= 2 * limit
    return values


def refuse_overflow(found: Mapping[str, np.ndarray], precision: str) -> None:
    """Refuse activations that a lower precision could not hold.

    Parameters
    ----------
    found
        Activations by layer.
    precision
        Of the arithmetic; ``float32`` is not looked at.

    Raises
    ------
    InputError
        If some are not finite; names the layer.
    """
    for layer, values in found.items() if precision != "float32" else ():
        if not np.isfinite(values.astype(np.float32)).all():
            raise InputError(
                f"activations of {layer} are not finite when computed in {precision}; set `precision: float32`"
            )
