"""Tests of `distspc.pipeline.needs.sizes`."""

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.backends.base import Memory
from distspc.layers import forward_flop
from distspc.pipeline.cost import Resources, plan_study
from distspc.pipeline.needs import sizes
from distspc.study.file import StudyFile
from distspc.testing.onnx_vgg16 import write_vgg16


def study(tmp_path, **content):
    return StudyFile.from_dict({"store": "s.zarr", "images": {"targets": "t"}, **content}, base=tmp_path)


def test_vgg16_needs_no_weights(tmp_path):
    some = study(tmp_path, layers=["block4_pool", "block5_conv1"])
    assert sizes.n_features(some, "block4_pool") == 100_352
    assert sizes.n_features(some, "block5_conv1") == 14 * 14 * 512
    assert sizes.forward_flop(some.networks[0]) == forward_flop("block5_conv1")


@pytest.mark.parametrize("shape", [("n", 3, 6, 8), (1, 6, 8, 3)])
def test_other_networks_are_asked(tmp_path, shape):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weights = {
        "conv": (np.ones((3, 3, 3, 4), "f4"), np.zeros(4, "f4")),
        "fc": (np.ones((48, 5), "f4"), np.zeros(5, "f4")),
    }
    write_vgg16(tmp_path / "m.onnx", weights, layers=["conv", "pool", "flatten", "fc"], input_shape=shape)
    some = study(tmp_path, model={"weights": "m.onnx"}, layers=["/pool", "/fc"])
    assert [sizes.n_features(some, layer) for layer in some.layers] == [48, 5]
    assert sizes.forward_flop(some.networks[0]) == 2 * 27 * 6 * 8 * 4 + 2 * 48 * 5
    plans = plan_study(some, n_targets=100, n_fillers=0, resources=Resources(1, 1, 8 * 2**30, 50.0))
    assert {plan.layer for plan in plans if plan.stage == "distances"} == {"/pool", "/fc"}


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
def test_keras_counts_the_same_operations(tmp_path):
    keras = pytest.importorskip("keras")
    inputs = keras.Input((6, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    x = keras.layers.Flatten(name="flat")(keras.layers.MaxPooling2D(2)(x))
    keras.Model(inputs, keras.layers.Dense(5, name="fc")(x)).save(tmp_path / "m.keras")
    some = study(tmp_path, model={"weights": "m.keras"}, layers=["fc"])
    assert sizes.forward_flop(some.networks[0]) == 2 * 27 * 6 * 8 * 4 + 2 * 48 * 5
    n_parameters, largest = 27 * 4 + 4 + 48 * 5 + 5, 6 * 8 * 4
    assert sizes.forward_memory(some.networks[0]) == Memory.of(720 * 2**20, 2, n_parameters, largest)


def imported(tmp_path, layers, **content):
    return StudyFile.from_dict({"store": "s.zarr", "layers": layers, **content}, base=tmp_path)


def test_activations_that_cannot_be_read_are_an_error(tmp_path):
    some = imported(tmp_path, ["mine"], activations="a")
    with pytest.raises(InputError, match=r"activation '.*mine.Targets.1\.npy' is not a whole .npy file"):
        sizes.n_features(some, "mine")
    assert sizes.n_features(imported(tmp_path, ["fc2"], activations="a"), "fc2") == 4096


def test_files_of_activations_say_their_size(tmp_path):
    for layer, shape in (("mine", (1, 2, 3, 4)), ("fc2", (7,))):
        (tmp_path / "a" / layer / "Targets").mkdir(parents=True)
        np.save(tmp_path / "a" / layer / "Targets/1.npy", np.zeros(shape, "f4"))
    some = imported(tmp_path, ["mine", "fc2"], activations="a")
    assert [sizes.n_features(some, layer) for layer in some.layers] == [24, 7]
    plans = plan_study(some, n_targets=100, n_fillers=0, resources=Resources(1, 1, 8 * 2**30, 50.0))
    assert {plan.layer for plan in plans if plan.stage == "distances"} == {"mine", "fc2"}


def test_matrices_say_their_size(tmp_path):
    np.savez(tmp_path / "a.npz", mine=np.zeros((3, 5), "f4"), other=np.zeros((3, 2), "f4"))
    (tmp_path / "names.txt").write_text("1.png\n2.png\n3.png\n")
    source = {"file": "a.npz", "names": "names.txt"}
    some = imported(tmp_path, ["mine", "other"], activations=source, images={"targets": "t"})
    assert [sizes.n_features(some, layer) for layer in some.layers] == [5, 2]


def test_sizes_are_those_of_what_is_kept(tmp_path):
    layers = ["fc2", {"name": "block5_pool", "pooling": "mean"}]
    some = study(tmp_path, layers=layers, model={"weights": "imagenet", "pooling": "max"})
    assert [sizes.n_features(some, layer) for layer in some.layers] == [4096, 512]
    sizes.refuse_unpooled_tokens(some.networks[0], 100)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
def test_a_plan_asks_what_is_to_be_kept_of_tokens(tmp_path):
    keras = pytest.importorskip("keras")
    inputs = keras.Input((16, 16, 3))
    tokens = keras.layers.Reshape((256, 3), name="tokens")(inputs)
    keras.Model(inputs, keras.layers.Dense(2, name="mixed")(tokens)).save(tmp_path / "m.keras")
    resources = {"n_targets": 100, "n_fillers": 0, "resources": Resources(1, 1, 8 * 2**30, 50.0)}
    for layers, n_features in (["mixed"], None), ([{"name": "mixed", "pooling": "mean"}], 2):
        some = study(tmp_path, model={"weights": "m.keras"}, layers=layers, reconstruction={"units": 2})
        if n_features is None:
            with pytest.raises(InputError, match=r"mixed has 256 tokens of 2 features .* for 100 images"):
                plan_study(some, **resources)
        else:
            assert sizes.n_features(some, "mixed") == n_features
            assert plan_study(some, **resources)
