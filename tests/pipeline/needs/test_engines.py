"""Tests of `distspc.pipeline.needs.engines`: one engine for all that a store holds, whoever chooses it."""

import numpy as np
import pytest
from PIL import Image

from distspc.errors import InputError, StoreMismatchError
from distspc.extraction import engines
from distspc.pipeline.needs.engines import settle_engines
from distspc.pipeline.run import Study
from distspc.store.store import Store
from distspc.testing.stores import make_store


@pytest.fixture
def content(tmp_path):
    """Content of a study of two images and the first layers of VGG-16."""
    (tmp_path / "I").mkdir()
    for i in (1, 2):
        pixels = np.random.default_rng(i).integers(0, 256, (30, 20, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "I" / f"{i}.png")
    return {"store": "s.zarr", "images": {"targets": "I"}, "layers": ["block1_pool"]}


@pytest.fixture
def study(tmp_path, content):
    def made(engine=None, **changes):
        model = {"weights": "random", **({"engine": engine} if engine else {})}
        return Study.from_dict({**content, "model": model, **changes}, base=tmp_path)

    return made


@pytest.fixture(params=[True, False])
def installed(request, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: name if request.param else None)
    return request.param


def no_question():
    raise AssertionError("asked")


def test_nothing_is_settled_where_nothing_is_left_open(study):
    for engine in (None, "keras", "onnx"):
        one = study(engine)
        assert settle_engines(one, no_question) is one


def test_a_new_store_gets_what_is_installed_and_keras_on_a_gpu(study, installed):
    here, on_gpu = settle_engines(study("auto")), settle_engines(study("auto"), lambda: True)
    assert here.networks[0].resolved().backend == ("onnx" if installed else "keras")
    assert on_gpu.networks[0].resolved().backend == "keras"


@pytest.mark.parametrize("made_with", ["keras", "onnx"])
def test_a_store_keeps_its_engine_whatever_is_installed_or_fitted(tmp_path, study, made_with, installed):
    recipe = {"architecture": "vgg16", **({"engine": "onnx"} if made_with == "onnx" else {})}
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=0, layers={"block3_pool": 3})
    Store(tmp_path / "s.zarr").layer("block3_pool").set_attributes(recipe=recipe)
    settled = settle_engines(study("auto"), no_question)
    assert settled.model.engine == made_with
    assert settled.networks[0].resolved().backend == made_with
    other = settled.model_copy(update={"store": tmp_path / "beside.zarr"})
    assert other.networks[0].resolved().backend == made_with


def test_networks_of_other_kinds_keep_theirs_on_a_gpu(study):
    settled = settle_engines(study("auto", model={"weights": "net.onnx", "engine": "auto"}), lambda: True)
    assert settled.model.engine is None


def test_each_of_several_networks_has_its_own(tmp_path, content):
    del content["layers"]
    models = [
        {"name": "a", "weights": "random", "engine": "auto", "layers": ["block1_pool"]},
        {"name": "b", "weights": "random", "layers": ["block1_pool"]},
    ]
    study = Study.from_dict({**content, "models": models}, base=tmp_path)
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=0, layers={"block1_pool@a": 3, "block1_pool@b": 3})
    for name, recipe in (("a", {"architecture": "vgg16", "engine": "onnx"}), ("b", {"architecture": "vgg16"})):
        Store(tmp_path / "s.zarr").layer(f"block1_pool@{name}").set_attributes(recipe=recipe)
    assert [one.engine for one in settle_engines(study).models] == ["onnx", None]


def test_a_study_in_onnx_runtime_goes_on_in_it(study, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    study("auto").run(stages=["extract"])
    store = study().stored
    recipe = store.layer("block1_pool").attributes["recipe"]
    assert recipe["engine"] == "onnx"
    both = {"layers": ["block1_pool", "block1_conv2"]}
    monkeypatch.setattr("distspc.deployment.profile.shape.gpu_ids", lambda: ["0"])
    study("auto", **both).run(stages=["extract"])
    assert store.layer("block1_conv2").attributes["recipe"]["engine"] == "onnx"
    for one in study("auto", **both).status()[:2]:
        assert one.complete
        assert one.note == "in ONNX Runtime"
    for engine in (None, "keras"):
        with pytest.raises(StoreMismatchError, match='engine was "onnx", now "keras"'):
            study(engine, **both).run(stages=["extract"])
        assert study(engine).status()[0].differs == 'made with other settings: engine was "onnx", now "keras"'
    assert store.layer("block1_pool").attributes["recipe"] == recipe


def test_an_engine_that_is_absent_is_named_before_images_are_read(study, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'distspc\[onnx\]'"):
        study("onnx").run(stages=["extract"])
    assert not study().store.exists()
