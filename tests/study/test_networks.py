"""The networks of a study: whose layers are whose, and whose errors."""

from dataclasses import replace

import pytest

from distspc.errors import InputError, StoreMismatchError
from distspc.extraction.options import ExtractionOptions
from distspc.store.store import Store
from distspc.study.networks import StudyNetwork
from distspc.testing.stores import make_store

CLIP = StudyNetwork("clip", ExtractionOptions(weights="random"), ("block1_pool", "fc2"))
ONLY = StudyNetwork("", ExtractionOptions(weights="random"), ("fc2",))


def test_layers_go_by_their_names_and_the_models():
    assert CLIP.labels == ("block1_pool@clip", "fc2@clip")
    assert CLIP.own_names(["fc2@vgg", "fc2@clip", "fc2"]) == ["fc2"]
    assert CLIP.titled("extract") == "extract clip"
    assert ONLY.labels == ("fc2",)
    assert ONLY.own_names(["fc2"]) == ["fc2"]
    assert ONLY.titled("extract") == "extract"


def test_a_network_is_settled_with_its_layers_or_some():
    assert CLIP.resolved().layers == ("block1_pool", "fc2")
    assert CLIP.resolved(["fc2"]).layers == ("fc2",)


def test_errors_say_of_which_of_several_networks_they_are():
    other = StudyNetwork("clip", ExtractionOptions(weights="nowhere.onnx"), ("a",))
    with pytest.raises(InputError, match=r"^model clip: weights '.*nowhere.onnx': there is no such file"):
        other.resolved()
    with pytest.raises(InputError, match=r"^broken$"), ONLY.named_errors():
        raise InputError("broken")
    with pytest.raises(StoreMismatchError), CLIP.named_errors():
        raise StoreMismatchError.of_settings("s.zarr", "activations/fc2@clip", "dtype differs")


def test_auto_is_the_engine_of_the_store_then_of_those_reused(tmp_path):
    def store(name, label, **recipe):
        make_store(tmp_path / name, n_targets=1, n_fillers=0, layers={label: 2})
        Store(tmp_path / name).layer(label).set_attributes(recipe={"architecture": "vgg16", **recipe})
        return Store(tmp_path / name)

    auto = replace(ONLY, options=replace(ONLY.options, engine="auto"))
    own, other = store("own.zarr", "fc1", engine="onnx"), store("other.zarr", "fc2@a")
    empty = Store(tmp_path / "none.zarr")
    assert auto.with_stored_engine(own).options.engine == "onnx"
    assert auto.with_stored_engine(empty) == auto
    reusing = replace(auto, reuse=(other.path,))
    assert reusing.with_stored_engine(empty).options.engine == "keras"
    assert reusing.with_stored_engine(own).options.engine == "onnx"
    assert replace(auto, model="b").with_stored_engine(other).options.engine == "auto"  # that of another network
    assert replace(auto, model="a").with_stored_engine(other).options.engine == "keras"
    assert ONLY.with_stored_engine(own) == ONLY
