"""A study whose images have changed: what is known is kept, and all equals a new study, to the bit."""

import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from distspc.errors import InputError, StoreMismatchError
from distspc.extraction.network import Network
from distspc.pipeline.run import Study, run_stages
from distspc.store.store import Store
from distspc.testing.small_network import write_network

N_TARGETS, N_FILLERS = 70, 75


def study_of(folder, **changes):
    content = {
        "store": "study.zarr",
        "images": {"targets": "Targets", "fillers": "Fillers"},
        "model": {"weights": "small.onnx"},
        "layers": ["edges", "top"],
        "distinctiveness": {"neighbours": 2},
        "reconstruction": {"units": 6, "codewords": 4, "batches": 3, "batch-size": 8, "seeds": [0, 1]},
        "scores": {"file": "scores.csv", "image": "image", "columns": ["hit"]},
        "relate": {"bootstrap": 20},
        **changes,
    }
    return Study.from_dict({name: value for name, value in content.items() if value is not None}, base=folder)


def write_image(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (14, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished study of small images."""
    folder = tmp_path_factory.mktemp("grown")
    write_network(folder / "small.onnx")
    for role, n, first in (("Targets", N_TARGETS, 0), ("Fillers", N_FILLERS, 1000)):
        (folder / role).mkdir()
        for i in range(1, n + 1):
            write_image(folder / role / f"{i}.png", first + i)
    rng = np.random.default_rng(0)
    names = [f"{i}.png" for i in range(1, N_TARGETS + 1)]
    pd.DataFrame({"image": names, "hit": rng.random(N_TARGETS)}).to_csv(folder / "scores.csv", index=False)
    run_stages(study_of(folder), lambda _: None)
    return folder


@pytest.fixture
def folder(done, tmp_path):
    shutil.copytree(done, tmp_path / "study")
    return tmp_path / "study"


@pytest.fixture
def passed(monkeypatch):
    """Counts the images that pass through a network, those that fill up a batch once."""
    counted, activations = [], Network.activations

    def count(network, images):
        counted.append(len({image.tobytes() for image in images}))
        return activations(network, images)

    monkeypatch.setattr(Network, "activations", count)
    return counted


def arrays(store):
    """Every array of a store by group and name."""
    store = Store(store)
    names = ("source",)
    groups = {name: store[name] for name in store.groups()}
    return {
        (name, path.name): group.read(path.name)
        for name, group in groups.items()
        for path in group.path.iterdir()
        if path.is_dir() and path.name not in names
    }


def assert_same(store, other):
    ours, theirs = arrays(store), arrays(other)
    assert ours.keys() == theirs.keys()
    assert {"images", "activations/top", "distances", "reconstruction"} <= {group for group, _ in ours}
    for key, values in ours.items():
        np.testing.assert_array_equal(values, theirs[key], err_msg=str(key))


def append_fillers(folder):
    for i in range(1, 4):
        write_image(folder / "Fillers" / f"{N_FILLERS + i}.png", 5000 + i)


def insert_and_remove(folder):
    (folder / "Targets" / "5.png").unlink()
    (folder / "Fillers" / "30.png").unlink()
    write_image(folder / "Targets" / "200.png", 6000)


def rename(folder):
    (folder / "Targets" / "3.png").rename(folder / "Targets" / "300.png")


def exchange_names(folder):
    one, two = folder / "Targets" / "3.png", folder / "Targets" / "66.png"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def change_role(folder):
    (folder / "Fillers" / "7.png").rename(folder / "Targets" / "77.png")


def add_twin(folder):
    shutil.copy(folder / "Targets" / "10.png", folder / "Fillers" / "900.png")


def change_bytes(folder):
    write_image(folder / "Targets" / "9.png", 7000)


def all_of_it(folder):
    for change in (append_fillers, insert_and_remove, rename, change_role, add_twin, change_bytes):
        change(folder)


CHANGES = {
    append_fillers: ("3 new: --update keeps the activations of 145 images", 3),
    insert_and_remove: ("1 new, 2 gone: --update keeps the activations of 143 images", 1),
    rename: ("1 renamed: --update keeps the activations of 145 images", 0),
    exchange_names: ("2 renamed: --update keeps the activations of 145 images", 0),
    change_role: ("1 of another role: --update keeps the activations of 145 images", 0),
    add_twin: ("1 new: --update keeps the activations of 145 images", 0),
    change_bytes: ("1 changed: --update keeps the activations of 144 images", 1),
    all_of_it: (
        "5 new, 2 gone, 1 renamed, 1 changed, 1 of another role: --update keeps the activations of 142 images",
        5,
    ),
}


MEASURES = ("extract", "distances", "reconstruct")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_an_updated_study_equals_a_new_one_to_the_bit(folder, change, passed):
    said, n_passed = CHANGES[change]
    stages = MEASURES if change is not all_of_it else (*MEASURES, "relate", "report")
    change(folder)
    with pytest.raises(StoreMismatchError) as refused:
        study_of(folder).run(stages=stages)
    assert said in str(refused.value)
    study_of(folder).run(update=True, stages=stages)
    assert sum(passed) == n_passed
    study_of(folder, store="new.zarr", report="new.html").run(stages=stages)
    assert_same(folder / "study.zarr", folder / "new.zarr")
    assert [path.name for path in folder.glob("study.zarr*")] == ["study.zarr"]
    assert run_stages(study_of(folder), None, update=True, stages=stages).computed == {}


def test_other_settings_are_refused_by_an_update_too(folder):
    append_fillers(folder)
    with pytest.raises(StoreMismatchError, match="n_neighbours was 2, now 1"):
        study_of(folder, distinctiveness={"neighbours": 1}).run(update=True)
    with pytest.raises(InputError, match="other images are for all stages"):
        study_of(folder).run(update=True, stages=["distances"])
    with pytest.raises(InputError, match="--update keeps stored activations and --redo deletes them"):
        study_of(folder).run(update=True, redo=True)


def test_the_plan_of_an_update_counts_what_is_kept_and_what_is_computed(folder):
    all_of_it(folder)
    found = study_of(folder).plan(update=True, gflops_per_core=10.0)
    plain = study_of(folder).plan(gflops_per_core=10.0)
    assert (found.n_passes, plain.n_passes) == (5, 148)
    update = found.as_dict()["update"]
    assert (update["kept"], update["new"], update["gone"], update["renamed"]) == (142, 5, 2, 1)
    assert update["extra_nbytes"] == found.disk_nbytes
    assert "update" not in plain.as_dict()


KILLED = """
import os, shutil, signal, sys
from distspc.pipeline.run import Study, run_stages
n, file = int(sys.argv[1]), sys.argv[2]
steps = 0
def counted(step):
    def maybe(*arguments, **named):
        global steps
        steps += 1
        if steps == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **named)
    return maybe
for module, name in ((os, "rename"), (os, "link"), (os, "replace"), (shutil, "rmtree")):
    setattr(module, name, counted(getattr(module, name)))
run_stages(Study.from_file(file), lambda _: None, update=True, stages=("extract", "distances", "reconstruct"))
"""


def test_a_kill_at_any_point_leaves_the_old_study_or_one_that_goes_on(folder):
    (folder / "study.yaml").write_text(
        "store: study.zarr\nimages: {targets: Targets, fillers: Fillers}\nmodel: {weights: small.onnx}\n"
        "layers: [edges, top]\ndistinctiveness: {neighbours: 2}\n"
        "reconstruction: {units: 6, codewords: 4, batches: 3, batch-size: 8, seeds: [0, 1]}\n"
    )
    insert_and_remove(folder)
    before, ended = arrays(folder / "study.zarr"), []
    for n in (3, 1, 2, 2, 1, 1):  # each goes on where the one before was killed
        command = [sys.executable, "-c", KILLED, str(n), str(folder / "study.yaml")]
        ended.append(subprocess.run(command, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode)
        if (folder / "study.zarr").exists() and len(Store(folder / "study.zarr").images.labels("image")) == 145:
            now = arrays(folder / "study.zarr")
            assert now.keys() == before.keys()
            for key, values in now.items():
                np.testing.assert_array_equal(values, before[key], err_msg=str(key))
    assert ended[0] == -9
    study_of(folder).run(update=True, stages=MEASURES)
    study_of(folder, store="new.zarr", report="new.html").run(stages=MEASURES)
    assert_same(folder / "study.zarr", folder / "new.zarr")
    assert [path.name for path in folder.glob("study.zarr*")] == ["study.zarr"]


def test_what_was_begun_for_other_images_is_not_lost(folder, passed, monkeypatch):
    append_fillers(folder)
    with monkeypatch.context() as patched:
        patched.setattr("distspc.pipeline.run.put_in_place", lambda store: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            study_of(folder).run(update=True, stages=["extract"])
    write_image(folder / "Targets" / "400.png", 9000)
    study_of(folder).run(update=True, stages=["extract"])
    assert sum(passed) == 4
    assert [path.name for path in folder.glob("study.zarr*")] == ["study.zarr"]


def test_readers_see_whole_results_while_a_study_is_updated(folder):
    append_fillers(folder)
    stop, seen, wrong = threading.Event(), set(), []

    def look():
        while not stop.is_set():
            try:
                table = study_of(folder).results().to_dataframe()
                study_of(folder).status()
            except Exception as error:  # any of them would be met by a user
                wrong.append(error)
                return
            measured = table.dropna(subset=["distinctiveness"])
            seen.add(len(measured))
            if len(measured) and (measured["neighbour"] == "").any():
                wrong.append(measured)

    reader = threading.Thread(target=look)
    reader.start()
    study_of(folder).run(update=True, stages=MEASURES)
    stop.set()
    reader.join()
    assert wrong == []
    assert seen <= {0, N_TARGETS, 2 * N_TARGETS}


def test_activations_are_taken_from_other_stores_and_it_is_said(folder, passed):
    other = {"store": "other.zarr", "report": "other.html", "images": {"targets": "Few"}, "scores": None}
    (folder / "Few").mkdir()
    for i in range(1, 9):
        shutil.copy(folder / "Targets" / f"{i}.png", folder / "Few" / f"x{i}.png")
    write_image(folder / "Few" / "z.png", 8000)
    reusing = study_of(folder, model={"weights": "small.onnx", "reuse": ["study.zarr"]}, **other)
    reusing.run(stages=MEASURES)
    assert sum(passed) == 1
    notes = {row.layer: row.note for row in reusing.status() if row.stage == "extract"}
    assert notes == dict.fromkeys(("edges", "top"), "8 images from study.zarr, 1 computed")
    study_of(folder, **{**other, "store": "new.zarr"}).run(stages=MEASURES)
    assert_same(folder / "other.zarr", folder / "new.zarr")


def test_another_preprocessing_never_matches_and_the_key_is_named(folder, passed):
    model = {"weights": "small.onnx", "preprocessing": "caffe", "reuse": ["study.zarr"]}
    study_of(folder, store="other.zarr", model=model).run(stages=["extract"])
    assert sum(passed) == 145
    notices = Store(folder / "other.zarr").layer("top").attributes["notices"]["reuse"]
    assert 'preprocessing was "raw", now "caffe"' in notices[0][0]
    with pytest.raises(InputError, match="which is no store of a study"):
        study_of(folder, store="x.zarr", model={"weights": "small.onnx", "reuse": "none.zarr"}).run()


def test_a_study_that_is_moved_as_a_whole_has_nothing_to_do(folder, tmp_path, passed):
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    folder.rename(moved)
    assert run_stages(study_of(moved), None).computed == {}
    assert all(row.complete for row in study_of(moved).status())
    stored = study_of(moved).results()
    assert set(stored.to_dataframe()["file"]) == {str(file) for file in (moved / "Targets").iterdir()}
    assert stored["images"]["file"].values[0] == "Targets/1.png"
    text = "".join(path.read_text() for path in (moved / "study.zarr").rglob("zarr.json"))
    assert str(folder) not in text
    (moved / "report.html").unlink()
    assert run_stages(study_of(moved), None, stages=["report"]).computed == {"report": 1}
    assert "data:image/jpeg" in (moved / "report.html").read_text()
    assert passed == []


def test_images_elsewhere_are_named_by_the_study_file(folder, tmp_path, passed):
    away = tmp_path / "away"
    away.mkdir()
    for role in ("Targets", "Fillers"):
        shutil.move(folder / role, away / role)
    study = study_of(folder, images={"targets": str(away / "Targets"), "fillers": str(away / "Fillers")})
    assert set(run_stages(study, lambda _: None).computed) <= {"scan images", "report", "relate"}
    assert run_stages(study, None).computed == {}
    assert set(study.results().to_dataframe()["file"]) == {str(file) for file in (away / "Targets").iterdir()}
    assert passed == []
