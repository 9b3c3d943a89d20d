"""What a measure gives with little: one of single images has tasks, memory, scores from one function."""

from dataclasses import replace

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.measures import build
from distspc.measures.base import ByImage, Column, Limits, Place, Size
from distspc.measures.options import Options
from distspc.measures.registry import MEASURES
from distspc.store.store import Store
from distspc.testing.stores import make_store, write_moments


class Range(ByImage):
    """Largest minus smallest activation: the whole of a new measure."""

    word = "range"
    columns = (Column("activation_range", "range of activations", "activate units less alike", "activation"),)
    source = "this test"

    def of_image(self, values, options=None):
        return [np.ptp(values)]


@pytest.fixture
def place(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=4, n_fillers=5, layers={"fc2": 6}, chunks={"image": 2, "feature": 4})
    return Place(Store(tmp_path / "s.zarr"), "fc2", Range(), Options(), limits=Limits(read_nbytes=100))


def test_one_function_gives_tasks_and_scores(place):
    assert place.blocks() == ((0, 4), (4, 8), (8, 9))  # whole chunks of two images of 24 bytes each
    assert len(place.measure.tasks(place)) == 4
    rows = list(place.values(0, 9))
    assert [len(row) for row in rows] == [6] * 9
    assert place.measure.score(place, rows)["activation_range"].tolist() == [np.ptp(row) for row in rows]
    assert place.measure.score(place, [])["activation_range"].shape == (0,)


def test_every_measure_says_what_it_takes_and_fits_a_worker():
    for measure in MEASURES.values():
        size = Size(10_264, 802_816 if measure.needs == "activations" else 0)
        for work in measure.work(size, measure.options()):
            assert work.n_tasks > 0
            assert 0 < work.task_nbytes < 3 * 2**30
        if size.n_features:
            assert sum(work.moved_nbytes for work in measure.work(size, measure.options())) >= 4 * 10_264 * 802_816


def test_images_without_a_value_are_counted_by_layer(tmp_path):
    from distspc.measures.registry import ChosenMeasure
    from distspc.store.notices import stored_notices
    from tests.measures.shared import compute

    values = np.ones((5, 4), np.float32)
    values[:2] = [[1, -1, 2, 3], [0, 0, 0, 0]]
    activations = {"fc2": values, "fc1": np.ones((5, 4), np.float32)}
    path = tmp_path / "n.zarr"
    make_store(path, n_targets=3, n_fillers=2, layers={"fc2": 4, "fc1": 4}, activations=activations)
    for layer in activations:
        compute(path, "activation-statistics", layer=layer)
    chosen = ChosenMeasure.parse("activation-statistics")
    build.note(Store(path), chosen, ["fc2", "fc1"])
    assert [notice.text for notice in stored_notices([Store(path).measure(chosen.word)])] == [
        "Treves-Rolls sparseness has no value for 1 of 5 images at fc2 (where all activations are 0).",
        "Hoyer sparseness has no value for 1 of 5 images at fc2 (where all activations are 0).",
        "Entropy of activations has no value for 2 of 5 images at fc2 (where activations are negative, or all are 0).",
    ]


def test_a_task_reads_its_own_images_scaled_as_the_study_says(place):
    x = place.store.layer("fc2").read("activation")
    np.testing.assert_array_equal(np.concatenate(list(place.parts(3, 8))), x[3:8])
    write_moments(place.store.path, "fc2")
    exact = x.astype(float)
    scaled = (exact - exact.mean(axis=0)) / np.where(exact.std(axis=0) > 0, exact.std(axis=0), 1)
    found = np.concatenate(list(replace(place, scaling="z-score").parts(3, 8, slice(2, 5))))
    np.testing.assert_allclose(found, scaled[3:8, 2:5], rtol=1e-6, atol=1e-6)


def test_an_image_whose_activations_are_not_finite_is_named(tmp_path):
    x = np.random.default_rng(0).random((9, 6), dtype=np.float32)
    x[6, 5] = np.nan
    path, sizes = tmp_path / "n.zarr", {"n_targets": 4, "n_fillers": 5, "layers": {"fc2": 6}}
    make_store(path, **sizes, chunks={"image": 2, "feature": 4}, activations={"fc2": x})
    broken = Place(Store(path), "fc2", Range(), Options())
    name = broken.store.images.labels("image")[6]
    with pytest.raises(InputError, match=rf"fc2: activations of {name} are not finite; extract them again"):
        list(broken.values(4, 9))
    assert len(list(broken.values(0, 6))) == 6
