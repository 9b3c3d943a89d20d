"""One task: some images at some layers, those of the study from its store, others through the network."""

import dask
import numpy as np
import pytest

from distspc.errors import InputError
from distspc.scoring import build
from distspc.scoring.build import NetworkPass, ScoreWork, offset_tasks, refuse_without_category, score_tasks
from distspc.scoring.images import NewImage
from distspc.scoring.reference import read_reference
from distspc.scoring.results import allocate, missing_layers, read_layer
from distspc.store.store import Store
from tests.scoring.shared import study_of_files

IMAGES = [NewImage("new", "/new.png", "sha256:n"), NewImage("own", "/own.png", "sha256:o", position=2)]


@pytest.fixture
def study(tmp_path):
    study = study_of_files(tmp_path)
    study.run(stages=["reconstruct"])
    return study


def test_images_of_the_study_need_no_forward_pass(study, tmp_path, monkeypatch):
    asked = []

    def activations_of(spec, files, digests, *, batch_size, dtype):
        asked.append((files, digests, batch_size, dtype))
        return {"fc2": np.full((1, 40), 2, np.float32), "fc1": np.full((1, 30), 3, np.float32)}

    class Spec:
        pass

    monkeypatch.setattr(build, "activations_of", activations_of)
    monkeypatch.setattr(build, "replace", lambda spec, layers: spec)
    reference, results = read_reference(study), Store(tmp_path / "r.zarr")
    group = allocate(results, reference, IMAGES, 2)
    work = ScoreWork(reference, NetworkPass(Spec(), 4, "float16"), IMAGES, (0, 2), results, {})
    dask.compute(*score_tasks([work]), scheduler="synchronous")
    assert asked == [(["/new.png"], ["sha256:n"], 4, "float16")]
    assert missing_layers(group) == {}
    own = study.stored.layer("fc2").read("activation", image=slice(2, 3))
    np.testing.assert_allclose(
        read_layer(group, "fc2").variables["norm"], [2 * 40**0.5, np.linalg.norm(own)], rtol=1e-6
    )
    assert read_layer(group, "fc1").variables["norm"][0] == pytest.approx(3 * 30**0.5)


def test_images_that_are_new_need_a_network(study, tmp_path):
    reference, results = read_reference(study), Store(tmp_path / "r.zarr")
    allocate(results, reference, IMAGES, 2)
    work = ScoreWork(reference, NetworkPass(None, 4, "float16"), IMAGES, (0, 2), results, {})
    with pytest.raises(ValueError, match="need a network"):
        dask.compute(*score_tasks([work]), scheduler="synchronous")


def test_what_an_older_store_lacks_is_computed_by_layer(study):
    reference = read_reference(study)
    assert offset_tasks(reference, {}) == []
    (found,) = dask.compute(*offset_tasks(reference, {"fc1": [3]}), scheduler="synchronous")
    stored = study.stored.reconstruction.load("unit_mean", layer="fc1", seed=3)["unit_mean"].to_numpy()
    np.testing.assert_array_equal(found[3], stored)


def test_images_need_a_category_where_neighbours_share_it():
    refuse_without_category(IMAGES, None)
    with pytest.raises(
        InputError, match=r"2 of 2 images have none \(the first: '/new.png'\): give the images as a table"
    ):
        refuse_without_category(IMAGES, "category")
