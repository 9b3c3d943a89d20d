"""The images that a study names: listed, counted, and enough for what comes later."""

import numpy as np
import PIL.Image
import pytest

from distspc import Study
from distspc.errors import InputError
from distspc.study.images import check_sizes, count_images, list_sources


@pytest.fixture
def study(tmp_path):
    for role, n in (("Targets", 3), ("Fillers", 2)):
        (tmp_path / role).mkdir()
        for i in range(1, n + 1):
            PIL.Image.fromarray(np.full((4, 4, 3), 20 * i, np.uint8)).save(tmp_path / role / f"{i}.png")
    (tmp_path / "Targets" / "notes.txt").write_text("no image")
    content = {"store": "s.zarr", "images": {"targets": "Targets", "fillers": "Fillers"}, "layers": ["fc2"]}
    return Study.from_dict(content, base=tmp_path)


def test_targets_come_first_in_natural_order(study):
    assert [source.role for source in list_sources(study)] == ["target"] * 3 + ["filler"] * 2
    assert [source.number for source in list_sources(study)] == [1, 2, 3, 1, 2]
    assert count_images(study) == (3, 2)


def test_activations_are_counted_by_their_files(tmp_path):
    for role, n in (("Targets", 4), ("Fillers", 0)):
        folder = tmp_path / "A" / "fc2" / role
        folder.mkdir(parents=True)
        for i in range(n):
            np.save(folder / f"{i + 1}.npy", np.zeros((1, 4096), np.float32))
    study = Study.from_dict({"store": "s.zarr", "activations": "A", "layers": ["fc2"]}, base=tmp_path)
    assert count_images(study) == (4, 0)


def test_a_plan_of_activations_that_are_not_there_names_their_folder(tmp_path):
    study = Study.from_dict({"store": "s.zarr", "activations": "A", "layers": ["fc2"]}, base=tmp_path)
    with pytest.raises(InputError, match=r"there is no folder '.*A/fc2/Targets'"):
        study.plan(gflops_per_core=1.0)


def test_more_neighbours_than_images_are_refused_before_any_work(study):
    many = study.distinctiveness.model_copy(update={"neighbours": 5})
    asking = study.model_copy(update={"distinctiveness": many})
    check_sizes(study, 3, 2)
    with pytest.raises(InputError, match="`neighbours` is 5, but the comparison set has 4 images"):
        check_sizes(asking, 3, 2)
