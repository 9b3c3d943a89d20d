"""Tests of `distspc.extraction.files.onnx_files`."""

import hashlib

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.files import onnx_files
from distspc.extraction.network import load_network
from distspc.extraction.network_spec import resolve_network
from distspc.testing.onnx_vgg16 import write_vgg16

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def inside(tmp_path):
    """A model that holds its own data."""
    rng = np.random.default_rng(0)
    weights = {"conv": (rng.normal(size=(3, 3, 3, 40)).astype("f4"), np.zeros(40, "f4"))}
    return write_vgg16(tmp_path / "inside.onnx", weights, layers=["conv"], input_shape=("n", 3, 6, 6))


@pytest.fixture
def beside(inside, tmp_path):
    """The same with its data in another file."""
    onnx.save(onnx.load(inside), tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=64)
    return tmp_path / "m.onnx"


def test_the_digest_of_a_file_is_its_sha256(inside):
    assert onnx_files.model_digest(str(inside)) == "sha256:" + hashlib.sha256(inside.read_bytes()).hexdigest()


def test_data_beside_the_file_are_digested_and_used(inside, beside):
    spec = resolve_network(str(beside), layers=["/conv"])
    images = np.random.default_rng(1).integers(0, 256, (2, 6, 6, 3)).astype(np.uint8)
    found = load_network(spec, 1).activations(images)["/conv"]
    expected = load_network(resolve_network(str(inside), layers=["/conv"]), 1).activations(images)["/conv"]
    np.testing.assert_array_equal(found, expected)
    data = beside.with_name("m.data")
    data.write_bytes(bytes(len(data.read_bytes())))
    changed = resolve_network(str(beside), layers=["/conv"])
    assert changed.digest != spec.digest
    with pytest.raises(InputError, match="have digest"):
        resolve_network(str(beside), layers=["/conv"], digest=spec.digest)


@pytest.mark.parametrize("location", ["../m.data", "/etc/hostname", "sub/m.data", "..", "link.data"])
def test_data_elsewhere_are_refused(beside, tmp_path, location):
    (tmp_path / "link.data").symlink_to("/etc/hostname")
    model = onnx.load(beside, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    beside.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"keeps data in .*, which is not a file beside it"):
        resolve_network(str(beside), layers=["/conv"])


def test_data_that_are_missing_are_named(beside):
    beside.with_name("m.data").unlink()
    with pytest.raises(InputError, match=r"keeps data in 'm\.data', which is not there"):
        resolve_network(str(beside), layers=["/conv"])


@pytest.mark.parametrize("content", [b"", b"something else", b"\x08\x07"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"m\.onnx' are not a whole ONNX file"):
        resolve_network(str(tmp_path / "m.onnx"), layers=["/conv"])
