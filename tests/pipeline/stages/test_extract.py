"""The stage of the extraction: layers are missing until all their chunks are there."""

import numpy as np
import pytest
from PIL import Image

from distspc.errors import InputError
from distspc.extraction.backends.onnx_vgg16 import VGG16_MEMORY
from distspc.pipeline.cost import Resources
from distspc.pipeline.needs.work import INTERPRETER_NBYTES, Rates, Setting
from distspc.pipeline.run import Study
from distspc.pipeline.stages import extract
from distspc.pipeline.stages.extract import Extract, store_nbytes
from distspc.store.format.direct import BLOCK_NBYTES
from distspc.study.file import StudyFile
from distspc.testing.onnx_vgg16 import write_vgg16
from tests.pipeline.stages.shared import run_of

STAGE = Extract()


def imported(tmp_path):
    for layer in ("fc2", "fc1"):
        for role, n in (("Targets", 3), ("Fillers", 2)):
            (tmp_path / "A" / layer / role).mkdir(parents=True)
            for i in range(n):
                values = np.full((1, 4096), i + 1, np.float32)
                np.save(tmp_path / "A" / layer / role / f"{i + 1}.npy", values)
    content = {"store": "s.zarr", "activations": "A", "layers": ["fc2", "fc1"]}
    return Study.from_dict(content, base=tmp_path)


def test_layers_are_missing_until_their_chunks_are_there(tmp_path):
    study = imported(tmp_path)
    run = run_of(study)
    assert STAGE.label(study) == "import activations"
    assert [STAGE.missing(run, layer) for layer in study.layers] == [[None], [None]]
    assert not study.store.exists()
    study.run(stages=["extract"])
    assert [STAGE.missing(run_of(study), layer) for layer in study.layers] == [[], []]
    assert [row[1:] for row in STAGE.status(study)] == [(1, 1), (1, 1)]
    chunk = next(path for path in (study.store / "activations/fc1/activation/c").rglob("*") if path.is_file())
    chunk.unlink()
    assert [STAGE.missing(run_of(study), layer) for layer in study.layers] == [[], [None]]


def test_one_pass_of_the_network_makes_all_layers(tmp_path):
    setting = Setting(100, 0, Resources(1, 4, 16 * 2**30, 50.0), Rates())
    content = {"store": "s.zarr", "images": {"targets": "I"}, "layers": ["fc2"]}
    deep = StudyFile.from_dict(content, base=tmp_path)
    both = StudyFile.from_dict({**content, "layers": ["block1_pool", "fc2"]}, base=tmp_path)
    one, two = (STAGE.loads(study, setting).chains[0][0] for study in (deep, both))
    assert one.flop == two.flop
    assert one.n_tasks == two.n_tasks == 2
    assert store_nbytes(both, 10) == 4 * 10 * (4096 + 112 * 112 * 64)


def test_moments_are_computed_where_features_are_scaled(tmp_path):
    study = imported(tmp_path).model_copy(update={"scaling": "z-score"})
    study.run(stages=["extract"])
    assert [row[1:] for row in STAGE.status(study)] == [(2, 2), (2, 2)]
    assert study.stored.scaling("fc2").attributes["n_constant"] == 0
    np.testing.assert_array_equal(study.stored.scaling("fc2").read("mean"), np.full(4096, 1.8))
    study.stored.scaling("fc1").remove()
    assert [row[1:] for row in STAGE.status(study)] == [(2, 2), (1, 2)]
    study.run(stages=["extract"])
    assert [row[1:] for row in STAGE.status(study)] == [(2, 2), (2, 2)]


def test_moments_go_with_the_activations_that_they_are_of(tmp_path):
    study = imported(tmp_path).model_copy(update={"scaling": "z-score"})
    study.run(stages=["extract"])
    next(path for path in (study.store / "activations/fc1/activation/c").rglob("*") if path.is_file()).unlink()
    STAGE.prepare(run_of(study), "fc1")
    assert not study.stored.scaling("fc1").exists()
    assert study.stored.scaling("fc2").exists()
    study.run(stages=["extract"], redo=True)
    assert [row[1:] for row in STAGE.status(study)] == [(2, 2), (2, 2)]


def test_a_plan_counts_the_two_passes_of_scaled_features(tmp_path):
    setting = Setting(100, 4900, Resources(1, 4, 16 * 2**30, 50.0), Rates())
    content = {"store": "s.zarr", "images": {"targets": "I"}, "layers": ["block5_pool", "block4_pool"]}
    plain = StudyFile.from_dict(content, base=tmp_path)
    scaled = plain.model_copy(update={"scaling": "z-score"})
    first, second = STAGE.loads(scaled, setting).chains[0]
    assert [first] == STAGE.loads(plain, setting).chains[0]
    assert second.moved_nbytes == 2 * store_nbytes(plain, 5000)
    assert second.n_tasks == (1 + 4) * (2 * 2 + 2)


def test_vgg16_in_onnx_runtime_is_planned_with_its_own_start_and_memory(tmp_path):
    setting = Setting(100, 0, Resources(1, 4, 16 * 2**30, 50.0), Rates())
    content = {"store": "s.zarr", "images": {"targets": "I"}, "layers": ["fc2"]}

    def loads(**model):
        return STAGE.loads(StudyFile.from_dict({**content, "model": model}, base=tmp_path), setting)

    in_keras, in_onnx = loads(), loads(engine="onnx")
    assert in_onnx.chains[0][0].seconds == in_keras.chains[0][0].seconds  # as measured
    assert (in_onnx.start_s, in_keras.start_s) == (3.6, 10.0)
    assert in_onnx.chains[0][0].task_nbytes < in_keras.chains[0][0].task_nbytes
    many = {"batch-size": 64}
    in_keras, in_onnx = loads(**many), loads(engine="onnx", **many)
    more = in_onnx.chains[0][0].task_nbytes - in_keras.chains[0][0].task_nbytes
    assert more == VGG16_MEMORY.built - 1400 * 2**20 + 64 * (VGG16_MEMORY.image - 30 * 2**20)


def test_the_memory_of_vgg16_is_as_measured(tmp_path):
    setting = Setting(100, 0, Resources(1, 4, 16 * 2**30, 50.0), Rates())
    content = {"store": "s.zarr", "images": {"targets": "I"}, "layers": ["fc2"]}
    (load,) = STAGE.loads(StudyFile.from_dict(content, base=tmp_path), setting).chains[0]
    assert load.task_nbytes == (1400 + 16 * 30) * 2**20 + 4 * 64 * 4 * 4096 + 2 * BLOCK_NBYTES


@pytest.fixture
def small(tmp_path):
    """Content of a study of a small network in an ONNX file."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    (tmp_path / "I").mkdir()
    Image.new("RGB", (12, 12)).save(tmp_path / "I" / "1.png")
    weights = {"conv": (np.ones((3, 3, 3, 4), "f4"), np.zeros(4, "f4"))}
    write_vgg16(tmp_path / "m.onnx", weights, layers=["conv", "pool"], input_shape=("n", 3, 6, 8))
    return {"store": "s.zarr", "images": {"targets": "I"}, "model": {"weights": "m.onnx"}}


def test_a_small_network_takes_little_memory(tmp_path, small):
    study = StudyFile.from_dict({**small, "layers": ["/pool"]}, base=tmp_path)
    (load,) = STAGE.loads(study, Setting(100, 0, Resources(1, 4, 16 * 2**30, 50.0), Rates())).chains[0]
    on_its_way = 16 * 16 * (6 * 8 * 4) + 4 * 64 * 4 * 48 + 2 * BLOCK_NBYTES
    assert load.task_nbytes == 140 * 2**20 + 8 * (27 * 4 + 4) + on_its_way


def test_an_unknown_layer_is_refused_before_images_are_read(tmp_path, small):
    study = Study.from_dict({**small, "layers": ["/pol"]}, base=tmp_path)
    with pytest.raises(InputError, match=r"the network has no layer '/pol'; did you mean '/pool'\?"):
        study.run(stages=["extract"])
    assert not study.store.exists()


def test_a_network_whose_layers_are_there_is_not_loaded_for_a_look(tmp_path, small, monkeypatch):
    study = Study.from_dict({**small, "layers": ["/pool"]}, base=tmp_path)
    study.run(stages=["extract"])

    def no_network(*_):
        raise AssertionError("the network was loaded")

    monkeypatch.setattr(extract, "refuse_unpooled_tokens", no_network)
    study.run(stages=["extract"])
    with pytest.raises(AssertionError, match="the network was loaded"):
        Study.from_dict({**small, "layers": ["/pol"]}, base=tmp_path).run(stages=["extract"])


def test_imported_layers_are_planned_one_by_one_in_a_worker_with_its_imports(tmp_path):
    study = imported(tmp_path)
    wide = study.model_copy(update={"layers": ("fc2", "block5_pool")})
    setting = Setting(100, 0, Resources(1, 4, 16 * 2**30, 50.0), Rates())
    found = [STAGE.loads(one, setting).chains[0][0].task_nbytes for one in (study, wide)]
    assert found == [INTERPRETER_NBYTES + 4 * 64 * 4 * width + 2 * BLOCK_NBYTES for width in (4096, 25088)]


def test_a_network_is_planned_beside_the_packages_of_the_others(tmp_path, small):
    setting = Setting(100, 0, Resources(1, 4, 16 * 2**30, 50.0), Rates())
    models = [{"name": "a", "weights": "m.onnx", "layers": ["/pool"]}, {"name": "b", "weights": "random"}]
    study = StudyFile.from_dict({"store": "s.zarr", "images": {"targets": "I"}, "models": models}, base=tmp_path)
    onnx, keras = STAGE.loads(study, setting).chains[0]
    (alone,) = STAGE.loads(StudyFile.from_dict({**small, "layers": ["/pool"]}, base=tmp_path), setting).chains[0]
    assert onnx.task_nbytes - alone.task_nbytes == 720 * 2**20 - INTERPRETER_NBYTES
    assert keras.task_nbytes > 1400 * 2**20
