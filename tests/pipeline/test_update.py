"""A study whose images have changed: what is known is kept, and all equals a new study, to the bit."""

import shutil

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
    with pytest.raises(InputError, match="--update keeps what is known and --redo throws it away"):
        study_of(folder).run(update=True, redo=True)
