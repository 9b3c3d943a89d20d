"""Results are kept by chunks of images, each layer done once; they are gone when nobody needs them."""

from dataclasses import replace

import numpy as np
import pytest

from distspc.scoring.images import NewImage
from distspc.scoring.reference import read_reference
from distspc.scoring.results import (
    LAST,
    LayerResults,
    allocate,
    image_ranges,
    missing_layers,
    read_layer,
    remove_results,
    results_folder,
    write_layer,
)
from distspc.store.group import Group
from distspc.store.store import Store
from tests.scoring.shared import study_of_files

IMAGES = [NewImage(f"{i}", f"/{i}.png", f"sha256:{i}") for i in range(5)]


@pytest.fixture
def reference(tmp_path):
    study = study_of_files(tmp_path)
    study.run(stages=["reconstruct"])
    return read_reference(study)


def values(n):
    distance, neighbour = np.arange(n, dtype=float)[:, None], np.arange(n)[:, None]
    variables = {"distance": distance, "neighbour_index": neighbour, "norm": np.ones(n)}
    return LayerResults(variables, {0: np.arange(n) / 10, 3: np.arange(n) / 5}, {})


def test_a_layer_of_a_range_of_images_is_done_once(tmp_path, reference):
    results = Store(results_folder(tmp_path / "s.zarr", reference, IMAGES))
    group = allocate(results, reference, IMAGES, 2)
    assert image_ranges(group) == ((0, 2), (2, 4), (4, 5))
    assert missing_layers(group) == {i: ["fc2", "fc1"] for i in range(3)}
    write_layer(group, "fc1", (4, 5), values(1))
    write_layer(group, "fc2", (0, 2), values(2))
    again = allocate(results, reference, IMAGES, 4)  # by a run of other workers
    assert missing_layers(again) == {0: ["fc1"], 1: ["fc2", "fc1"], 2: ["fc2"]}
    found = read_layer(again, "fc2")
    assert found.variables["distance"][:2, 0].tolist() == [0, 1]
    assert found.errors[3][:2].tolist() == [0, 0.2]
    assert np.isnan(found.errors[3][2:]).all()
    assert found.variables["neighbour_index"][2:].ravel().tolist() == [-1] * 3


def test_other_images_and_studies_have_other_results(tmp_path, reference):
    folders = {
        results_folder(tmp_path / "s.zarr", some, images)
        for some in (reference, reference.of_layers(["fc2"]))
        for images in (IMAGES, IMAGES[:4])
    }
    assert len(folders) == 4
    assert {folder.parent for folder in folders} == {tmp_path / "s-scores"}


def test_results_are_of_what_files_hold_with_their_categories_against_one_state_of_the_study(tmp_path, reference):
    def folder(images, against=reference):
        return results_folder(tmp_path / "s.zarr", against, images)

    moved = [replace(image, file=f"/elsewhere{image.file}") for image in IMAGES]
    assert folder(moved) == folder(IMAGES)
    another = [replace(image, digest=f"{image.digest}0") for image in IMAGES]
    named = [replace(image, category="street") for image in IMAGES]
    later = replace(reference, state=(*reference.state[:-1], ("{}", "2031")))
    assert len({folder(IMAGES), folder(another), folder(named), folder(IMAGES, later)}) == 4


def test_the_file_that_says_that_a_layer_is_done_comes_last(tmp_path, reference, monkeypatch):
    """A stop in between leaves a layer that is missing, whatever the order of its values."""
    group = allocate(Store(tmp_path / "r.zarr"), reference, IMAGES, 5)
    found, written = values(5), []
    monkeypatch.setattr(Group, "write", lambda self, name, *_, **__: written.append(name))
    for names in (list(found.variables), list(found.variables)[::-1]):
        written.clear()
        write_layer(group, "fc2", (0, 5), replace(found, variables={name: found.variables[name] for name in names}))
        assert sorted(written) == ["distance", "error", "error", "neighbour_index", LAST]
        assert written[-1] == LAST


def test_what_is_delivered_is_removed_with_its_folder(tmp_path, reference):
    path, other = (results_folder(tmp_path / "s.zarr", reference, IMAGES[:n]) for n in (5, 4))
    for one in (path, other):
        allocate(Store(one), reference, IMAGES, 2)
    remove_results(path)
    assert not path.exists()
    assert other.exists()
    remove_results(other)
    assert not path.parent.exists()
