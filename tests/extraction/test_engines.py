"""Tests of `distspc.extraction.engines`."""

import pytest

from distspc.errors import InputError
from distspc.extraction import engines
from distspc.extraction.engines import choose_engine, engine_of, keep_engine, own_engine
from distspc.extraction.options import ExtractionOptions


def test_every_kind_of_network_has_its_engine():
    found = [own_engine(name) for name in ("vgg16", "file", "resnet50", "onnx", "timm:vit")]
    assert found == ["keras", "keras", "keras", "onnx", "torch"]


@pytest.mark.parametrize(
    ("asked", "architecture", "chosen"),
    [
        (None, "vgg16", None),
        ("keras", "vgg16", None),
        ("onnx", "vgg16", "onnx"),
        ("auto", "vgg16", "onnx"),
        ("auto", "resnet50", None),
        ("auto", "file", None),
        ("auto", "timm:vit", None),
        ("auto", "onnx", None),
        ("onnx", "onnx", None),
        ("keras", "resnet50", None),
    ],
)
def test_an_engine_is_settled(asked, architecture, chosen, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: name)
    assert choose_engine(asked, architecture, "float32") == chosen


def test_auto_is_keras_without_onnx_runtime_and_in_lower_precision(monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: name)
    assert choose_engine("auto", "vgg16", "bfloat16") is None
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name == "onnxruntime" else name)
    assert choose_engine("auto", "vgg16", "float32") is None
    with pytest.raises(InputError, match=r"pip install 'distspc\[onnx\]'"):
        engines.refuse_absent()


@pytest.mark.parametrize(
    ("asked", "architecture", "precision", "words"),
    [
        ("onnx", "resnet50", "float32", r"engine 'onnx' runs VGG-16 .* and resnet50 runs in Keras: leave `engine` out"),
        ("onnx", "file", "float32", r"and this model runs in Keras: .* or export the network to \.onnx"),
        ("onnx", "timm:vit", "float32", r"engine 'onnx': networks of timm run in timm: leave `engine` out"),
        ("keras", "timm:vit", "float32", r"engine 'keras': networks of timm run in timm"),
        ("keras", "onnx", "float32", r"engine 'keras': an \.onnx file runs in ONNX Runtime: leave `engine` out"),
        ("onnx", "vgg16", "float16", r"engine 'onnx' computes in float32: leave out precision 'float16'"),
    ],
)
def test_an_engine_that_cannot_run_the_network_is_refused(asked, architecture, precision, words):
    with pytest.raises(InputError, match=words):
        choose_engine(asked, architecture, precision)


def test_a_recipe_says_the_engine():
    assert engine_of({"architecture": "vgg16"}) == "keras"
    assert engine_of({"architecture": "vgg16", "engine": "onnx"}) == "onnx"
    assert engine_of({"architecture": "onnx"}) == "onnx"
    assert engine_of({"architecture": "imported"}) == engine_of({}) == ""


KERAS, ONNX = {"architecture": "vgg16"}, {"architecture": "vgg16", "engine": "onnx"}


@pytest.mark.parametrize(
    ("weights", "asked", "recipes", "kept"),
    [
        ("random", "auto", [], "auto"),
        ("random", "auto", [{"architecture": "resnet50"}, {}], "auto"),
        ("random", "auto", [{}, KERAS], "keras"),
        ("random", "auto", [ONNX, KERAS], "onnx"),
        ("a/w.h5", "auto", [ONNX], "onnx"),
        ("vgg16:random", "auto", [ONNX], "onnx"),
        ("random", "keras", [ONNX], "keras"),
        ("random", None, [ONNX], None),
        ("net.onnx", "auto", [ONNX], "auto"),
        ("resnet50", "auto", [ONNX], "auto"),
    ],
)
def test_what_a_store_holds_of_vgg16_settles_auto(weights, asked, recipes, kept):
    assert keep_engine(ExtractionOptions(weights, engine=asked), recipes).engine == kept
