"""A study that keeps no activations gives the same results to the bit, in less disk, and goes on after a stop."""

import hashlib

import numpy as np
import pytest
import skimage.data
from PIL import Image

from distspc.cli.dialogue.output import plan_text, summary
from distspc.errors import InputError
from distspc.pipeline.run import Study, run_stages
from distspc.store.group import folder_nbytes
from distspc.testing.onnx_vgg16 import write_vgg16
from tests.pipeline.imported_study import LAYERS as IMPORTED
from tests.pipeline.imported_study import MEASURING, make_study, write_activations

N_TARGETS, N_FILLERS, SIDES = 70, 20, (12, 10)
LAYERS = ("conv", "pool", "fc")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Images, and a network in an ONNX file."""
    folder, source = tmp_path_factory.mktemp("study"), skimage.data.coffee()
    for role, n, start in (("Targets", N_TARGETS, 0), ("Fillers", N_FILLERS, N_TARGETS)):
        (folder / role).mkdir()
        for i in range(n):
            y, x = divmod(7 * (start + i), 300)
            Image.fromarray(source[20 * y : 20 * y + 24, x : x + 20]).save(folder / role / f"{i + 1}.png")
    rng = np.random.default_rng(0)
    shapes = {"conv": (3, 3, 3, 32), "fc": (960, 40)}
    weights = {name: (rng.normal(size=shape).astype("f4"), np.zeros(shape[-1], "f4")) for name, shape in shapes.items()}
    layers = ["conv", "pool", "flatten", "fc"]
    write_vgg16(folder / "net.onnx", weights, layers=layers, input_shape=("n", 3, *SIDES))
    return folder


def study_of(root, store, scaling="none", **model):
    content = {
        "store": str(store),
        "images": {"targets": "Targets", "fillers": "Fillers"},
        "model": {"weights": "net.onnx", "preprocessing": {"scale": "1/255", "size": list(SIDES)}, **model},
        "layers": [f"/{layer}" for layer in LAYERS],
        "scaling": scaling,
        "reconstruction": {"units": 20, "codewords": 6, "batches": 3, "batch-size": 8, "seeds": [0, 1]},
        "measures": ["typicality", "pixels"],
        "relate": {"readout": True},
        "report": str(store.with_suffix(".html")),
    }
    return Study.from_dict(content, base=root)


def in_process(stage):
    return None


def refuse(stage):
    raise AssertionError(f"{stage} was to compute")


def digests(study, *groups):
    """Digest of every file of numbers in some groups."""
    files = [
        file for group in groups for file in (study.store / group).rglob("*") if "c" in file.parts and file.is_file()
    ]
    return {str(file.relative_to(study.store)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


RESULTS = ("distances", "reconstruction", "scaling", "measures", "references", "gram")


@pytest.fixture(scope="module")
def kept(root, tmp_path_factory):
    """The study that keeps everything."""
    study = study_of(root, tmp_path_factory.mktemp("kept") / "s.zarr", "z-score")
    measure(study)
    return study


def measure(study, connect=in_process, **options):
    """Run the stages that read activations; returns the outcome."""
    return run_stages(study, connect, stages=MEASURING, **options)


class Watch:
    """Progress that looks how large the store is, and stops the run where it is told to."""

    def __init__(self, study, stop=""):
        self.study, self.stop, self.most, self.labels = study, stop, 0, []

    def __call__(self, label, n_done, n_tasks):
        size = folder_nbytes(self.study.store) + folder_nbytes(self.study.store.with_name("s.zarr.units"))
        self.most = max(self.most, size)
        self.labels.append(label)
        if self.stop and label.startswith(self.stop) and n_done:
            raise KeyboardInterrupt


@pytest.mark.parametrize("keep", [[], ["/fc"], ["/conv"]])
def test_results_are_the_same_to_the_bit_and_the_disk_is_as_planned(kept, root, tmp_path, keep):
    study = study_of(root, tmp_path / "s.zarr", kept.scaling, keep=keep)
    plan = study.plan(gflops_per_core=100)
    assert plan.rounds[0] == (("/conv",) if keep != ["/conv"] else ("/pool", "/fc"))[: len(plan.rounds[0])]
    watch = Watch(study)
    outcome = measure(study, progress=watch)
    assert digests(study, *RESULTS) == digests(kept, *RESULTS)
    assert watch.most <= plan.disk_nbytes < kept.plan(gflops_per_core=100).disk_nbytes
    given = [layer for layer in study.layers if study.stored.layer(layer).given_back]
    assert sorted(given) == sorted(outcome.given_back) == sorted(set(study.layers) - set(keep))
    assert "Given back, as `keep` leaves them out: " in summary(study, outcome)
    assert any(label.startswith("extract (round 2 of ") for label in watch.labels)
    assert measure(study, refuse).computed == {}
    assert all(row.complete for row in study.status() if row.stage in MEASURING)


def test_plan_says_what_it_costs(root, tmp_path):
    study = study_of(root, tmp_path / "s.zarr", keep=["/fc"])
    plan = study.plan(gflops_per_core=100)
    assert plan.n_passes == 2 * (N_TARGETS + N_FILLERS)
    assert [row.layer for row in plan.stages if row.stage == "distances"] == [
        layer for part in plan.rounds for layer in part
    ]
    assert [row.stage for row in plan.stages].count("extract") == 2
    text = plan_text(study, plan)
    assert "2 rounds (/conv; /pool, /fc): 180 forward passes of 90 images; at most " in text
    numbers = plan.as_dict()
    assert numbers["forward_passes"] == 180
    assert numbers["rounds"] == [["/conv"], ["/pool", "/fc"]]
    assert numbers["disk_nbytes"] == plan.disk_nbytes
    whole = study_of(root, tmp_path / "s.zarr").plan(gflops_per_core=100)
    assert whole.n_passes == N_TARGETS + N_FILLERS
    assert "rounds" not in plan_text(study_of(root, tmp_path / "s.zarr"), whole)


@pytest.mark.parametrize("stop", ["extract (round 1", "distances (round 1", "reconstruct (round 2"])
def test_a_stop_in_any_round_goes_on(kept, root, tmp_path, stop):
    study = study_of(root, tmp_path / "s.zarr", kept.scaling, keep=[])
    with pytest.raises(KeyboardInterrupt):
        measure(study, progress=Watch(study, stop))
    before = [layer for layer in study.layers if study.stored.layer(layer).given_back]
    watch = Watch(study)
    measure(study, progress=watch)
    if "round 2" in stop:
        assert before == ["/conv"]
        assert not any("round 1" in label for label in watch.labels)
    assert digests(study, *RESULTS) == digests(kept, *RESULTS)


def test_layers_that_are_not_kept_any_more_are_given_back_without_computing(kept, root, tmp_path):
    import shutil

    shutil.copytree(kept.store, tmp_path / "s.zarr")
    study = study_of(root, tmp_path / "s.zarr", kept.scaling, keep=["/pool"])
    outcome = measure(study, refuse)
    assert outcome.computed == {}
    assert sorted(outcome.given_back) == ["/conv", "/fc"]
    more = study.model_copy(update={"reconstruction": study.reconstruction.model_copy(update={"seeds": (0, 1, 2)})})
    with pytest.raises(InputError, match=r"the activations of /conv, /fc, which .*: 90 forward passes, about "):
        measure(more, refuse)
    measure(more, extract_again=True)
    assert all(row.complete for row in more.status() if row.stage in MEASURING)
    assert more.stored.layer("/conv").given_back
    assert not more.stored.layer("/pool").given_back


def test_a_stage_alone_takes_all_layers_and_the_last_gives_them_back(root, tmp_path, caplog):
    study = study_of(root, tmp_path / "s.zarr", keep=[])
    run_stages(study, in_process, stages=["extract"])
    assert "`keep` saves disk in `distspc run` alone" in caplog.text
    for stage in ("distances", "reconstruct", "measures"):
        run_stages(study, in_process, stages=[stage])
        assert not any(study.stored.layer(layer).given_back for layer in study.layers)
    run_stages(study, in_process, stages=["readout"])
    assert all(study.stored.layer(layer).given_back for layer in study.layers)


def test_imported_activations_go_in_rounds_too_and_a_layer_that_failed_stays(tmp_path):
    write_activations(tmp_path)
    for file in (tmp_path / "Activations/fc1").rglob("*.npy"):
        np.save(file, np.ones((1, IMPORTED["fc1"]), np.float32))
    whole = make_study(tmp_path, store="whole.zarr", report="whole.html")
    measure(whole)
    study = make_study(tmp_path, model={"keep": []})
    assert study.plan(gflops_per_core=100).n_passes == 0
    outcome = measure(study)
    assert {(one.stage, one.layer) for one in outcome.failures} >= {("distances", "fc1")}
    assert sorted(outcome.given_back) == ["block5_pool", "fc2"]
    assert study.stored.layer("fc1").has("activation")
    ours, theirs = study.results().to_dataframe(), whole.results().to_dataframe()
    assert ours.drop(columns="file").equals(theirs.drop(columns="file"))
