"""Asking a stage what is missing writes nothing, on an empty, a half-done and a finished store."""

import hashlib
import shutil

import numpy as np
import pytest
from PIL import Image

from distspc.pipeline.run import Study, run_stages
from distspc.pipeline.stages.base import Run
from distspc.pipeline.stages.registry import STAGES
from distspc.study.images import StudyImages
from distspc.testing.stores import relu_activations

LAYERS = ["fc2", "fc1"]


def folder_digest(folder):
    """Names, contents and times of everything below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_mtime_ns}\n".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    for seed, layer in enumerate(LAYERS):
        values = relu_activations(24, 40, seed=seed)
        for name, rows in (("Targets", values[:10]), ("Fillers", values[10:])):
            (root / "A" / layer / name).mkdir(parents=True)
            for number, row in enumerate(rows, start=1):
                np.save(root / "A" / layer / name / f"{number}.npy", row[None])
    (root / "scores.csv").write_text("im_ind,hit\n" + "".join(f"{i + 1},{0.3 + i % 4 / 10}\n" for i in range(10)))
    content = {
        "store": "s.zarr",
        "activations": "A",
        "layers": LAYERS,
        "scores": {"file": "scores.csv", "columns": ["hit"]},
        "reconstruction": {"units": 12, "codewords": 6, "batches": 2, "batch-size": 6, "seeds": [0, 1]},
        "relate": {"bootstrap": 10},
    }
    study = Study.from_dict(content, base=root)
    study.run()
    return study


def copied(finished, tmp_path, *removed):
    store = tmp_path / "s.zarr"
    shutil.copytree(finished.store, store)
    for name in removed:
        path = store / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copy(finished.report, tmp_path / "report.html")
    return finished.model_copy(update={"store": store, "report": tmp_path / "report.html"})


def refuse(stage):
    raise AssertionError(f"asking opened a cluster for {stage}")


def answers(study):
    """What every stage says is missing, by stage and layer."""
    run = Run(study, StudyImages(study), refuse)
    layers = {name: study.layers if stage.on_cluster else [""] for name, stage in STAGES.items()}
    return {(name, layer): list(STAGES[name].missing(run, layer)) for name in STAGES for layer in layers[name]}


def test_a_finished_store_lacks_nothing(finished, tmp_path):
    study = copied(finished, tmp_path)
    before = folder_digest(tmp_path)
    assert {key: lacks for key, lacks in answers(study).items() if lacks} == {}
    assert folder_digest(tmp_path) == before


HALF = {
    "activations/fc2/activation/c/0/0": ("extract", "fc2", [None]),
    "activations/fc2": ("extract", "fc2", [None]),
    "distances/mean_distance/c/1/0": ("distances", "fc1", [None]),
    "distances": ("distances", "fc2", [None]),
    "reconstruction/error/c/0/1": ("reconstruct", "fc2", [1]),
    "reconstruction": ("reconstruct", "fc1", [0, 1]),
    "relations": ("relate", "", [None]),
}


@pytest.mark.parametrize("removed", HALF)
def test_a_half_done_store_lacks_what_was_removed(finished, tmp_path, removed):
    stage, layer, lacks = HALF[removed]
    chunks = sorted((finished.store / removed).parent.rglob("*")) if "/c/" in removed else []
    name = removed if (finished.store / removed).exists() else chunks[-1].relative_to(finished.store).as_posix()
    study = copied(finished, tmp_path, name)
    run = Run(study, StudyImages(study), refuse)
    before = folder_digest(tmp_path)
    assert list(STAGES[stage].missing(run, layer)) == lacks
    assert folder_digest(tmp_path) == before


def test_an_empty_store_lacks_all_and_is_not_made(finished, tmp_path):
    study = finished.model_copy(update={"store": tmp_path / "s.zarr", "report": tmp_path / "r.html"})
    run = Run(study, StudyImages(study), refuse)
    assert all(STAGES["extract"].missing(run, layer) == [None] for layer in LAYERS)
    assert STAGES["relate"].missing(run, "") == [None]
    assert STAGES["report"].missing(run, "") == [None]
    assert list(tmp_path.iterdir()) == []


def test_distances_and_reconstruction_of_nothing_but_activations(finished, tmp_path):
    study = finished.model_copy(update={"store": tmp_path / "s.zarr", "report": tmp_path / "r.html"})
    run_stages(study, lambda _: None, stages=["extract"])
    run = Run(study, StudyImages(study), refuse)
    before = folder_digest(tmp_path)
    assert STAGES["distances"].missing(run, "fc2") == [None]
    assert list(STAGES["reconstruct"].missing(run, "fc2")) == [0, 1]
    assert folder_digest(tmp_path) == before


def test_a_second_run_of_a_finished_study_writes_nothing(finished, tmp_path):
    study = copied(finished, tmp_path)
    run_stages(study, refuse)
    before = folder_digest(study.store)
    assert run_stages(study, refuse).computed == {}
    assert folder_digest(study.store) == before


@pytest.fixture
def photographs(tmp_path):
    """A finished study of images, with a network that is never loaded."""
    for role, n in (("Targets", 3), ("Fillers", 4)):
        (tmp_path / "here/Images" / role).mkdir(parents=True)
        for i in range(n):
            Image.effect_noise((32, 32), 50 + i).convert("RGB").save(tmp_path / f"here/Images/{role}/{i}.png")
    content = {
        "store": "s.zarr",
        "images": {"targets": "Images/Targets", "fillers": "Images/Fillers"},
        "model": {"weights": "random"},
        "layers": ["block1_pool"],
    }
    return content, tmp_path / "here"


def test_images_are_listed_once_in_a_run(photographs, monkeypatch):
    from distspc.images import listing

    n_listed, list_images = [], listing.list_images
    monkeypatch.setattr(listing, "list_images", lambda *args: n_listed.append(args[1]) or list_images(*args))
    content, base = photographs
    study = Study.from_dict(content, base=base)
    monkeypatch.setattr(STAGES["extract"], "_missing_layers", lambda run, layers: [])
    run_stages(study, lambda _: None, stages=["extract"])
    assert n_listed == ["target", "filler"]
    run_stages(study, lambda _: None, stages=["extract"])
    assert n_listed == ["target", "filler"] * 2


def test_looking_at_images_alone_is_not_writing_activations(photographs, monkeypatch):
    from datetime import UTC, datetime

    from distspc.store.activations import allocate_layers

    content, base = photographs
    study = Study.from_dict(content, base=base)
    monkeypatch.setattr(STAGES["extract"], "_missing_layers", lambda run, layers: [])
    assert run_stages(study, lambda _: None, stages=["extract"]).computed == {"scan images": 1}
    allocate_layers(study.stored, {"block1_pool": (2, 2, 1)}, {"architecture": "vgg16"}, "float32")
    layer = study.stored.layer("block1_pool")
    layer.mark_written(datetime(2020, 1, 1, tzinfo=UTC))
    written = layer.attributes["written"]
    monkeypatch.setattr("distspc.pipeline.run.refuse_other_results", lambda *args: None)
    (base / "Images/Targets/0.png").touch()
    assert run_stages(study, lambda _: None, stages=["extract"]).computed == {"scan images": 1}
    assert study.stored.layer("block1_pool").attributes["written"] == written
