"""Tests of `distspc.extraction.network_spec`."""

import json
import zipfile

import h5py
import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.network_spec import resolve_network
from tests.extraction.shared import write_legacy

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_truncated_weight_files_are_refused(tmp_path, legacy_content, share):
    path = write_legacy(tmp_path / "w.h5", {k: v for k, v in legacy_content.items() if k.startswith("block1")})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"w\.h5' are not a whole HDF5 or \.keras file"):
        resolve_network(str(path), layers=("block1_pool",))


def test_a_file_without_layer_names_is_refused(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layers/conv/vars/0"] = np.zeros(3)
    with pytest.raises(InputError, match=r"do not name their layers .* expected a Keras-2 weight file"):
        resolve_network(str(tmp_path / "w.h5"), layers=("block1_pool",))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weights": "best"}, None),
        ({"weights": "no such name"}, "expected hybrid1365, imagenet, random, a path"),
        ({"weights": "resnet50:big"}, "weights of resnet50 'big' is not one of imagenet, random"),
        ({"weights": "nowhere/w.h5"}, r"nowhere/w\.h5': there is no such file"),
        ({"layers": []}, "no layers are requested"),
        ({"layers": ["fc2", "fc9"]}, r"has no layer 'fc9'; did you mean 'fc2'\? it has block1_conv1, .*predictions"),
        ({"preprocessing": "mean"}, "preprocessing 'mean' is not one of auto, raw, caffe"),
        ({"precision": "int8"}, "precision 'int8' is not one of float32, bfloat16, float16"),
        ({"engine": "tensorflow"}, "engine 'tensorflow' is not one of keras, onnx, auto"),
        ({"engine": "onnx", "precision": "bfloat16"}, "engine 'onnx' computes in float32"),
    ],
)
def test_wrong_settings_name_what_is_allowed(settings, said):
    settings = {"weights": "random", "layers": ["fc2"], **settings}
    if said is None:
        assert resolve_network(**settings).architecture == "best"  # Keras is asked for it when it is built
        return
    with pytest.raises(InputError, match=said):
        resolve_network(**settings)


def test_seeds_and_settings_are_in_the_description_and_paths_are_not(tmp_path, legacy_content):
    path = write_legacy(tmp_path / "w.h5", {"block1_conv1": legacy_content["block1_conv1"]})
    told = resolve_network(str(path), layers=["fc2"], preprocessing="caffe").described()
    assert str(tmp_path) not in json.dumps(told)
    assert told["preprocessing"] == "caffe"
    assert resolve_network("random", layers=["fc2"], seed=3).described()["weights"].endswith(":3")


def test_a_truncated_keras_file_is_refused(tmp_path, small_model):
    path = tmp_path / "model.keras"
    small_model.save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"model\.keras' are not a whole HDF5 or \.keras file"):
        resolve_network(str(path), layers=("edges",))


@pytest.mark.parametrize(
    "part", [{"class_name": "system", "module": "os"}, {"class_name": "Layer", "module": "mine", "config": {}}]
)
def test_foreign_classes_are_refused(tmp_path, part):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"module": "keras", "config": {"layers": [part]}}))
    with pytest.raises(InputError, match=f"holds code .*{part['module']}"):
        resolve_network(str(path), layers=("flat",))


@pytest.mark.parametrize("text", ["{", "[" * 200_000, ""])
def test_damaged_descriptions_are_refused(tmp_path, text):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", text)
    with pytest.raises(InputError, match=r"model '.*model\.keras' is damaged"):
        resolve_network(str(path), layers=("flat",))


# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def test_pooling_belongs_to_the_layer_that_it_is_of():
    spec = resolve_network("random", layers=["fc2", "block5_pool"], pooling={"block5_pool": "max"}, prefix_tokens=1)
    assert spec.pooling == (("block5_pool", "max"),)
    assert spec.described("block5_pool") == {**spec.described("fc2"), "pooling": "max", "prefix_tokens": 1}
    assert spec.described("fc2") == resolve_network("random", layers=["fc2"]).described("fc2")
    flat = resolve_network("random", layers=["fc2"], pooling="flatten", prefix_tokens=1)
    assert flat.described("fc2") == {**spec.described("fc2"), "pooling": "flatten"}
    with pytest.raises(InputError, match="pooling of fc2 'average' is not one of none, mean, max, cls, flatten"):
        resolve_network("random", layers=["fc2"], pooling="average")


def test_the_engine_is_in_the_description_where_it_is_not_that_of_the_network_s_kind():
    def described(**settings):
        return resolve_network("random", layers=["fc2"], **settings).described("fc2")

    assert described() == described(engine="keras")
    assert "engine" not in described()
    assert described(engine="onnx") == {**described(), "engine": "onnx"}
