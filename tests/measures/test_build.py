"""The stage of further measures: what is missing, what is computed, what is left alone."""

import re
import shutil

import numpy as np
import pytest

from distspc.errors import InputError, StoreMismatchError
from distspc.measures import build
from distspc.measures.registry import ChosenMeasure
from distspc.store.store import Store
from distspc.testing.stores import make_store, no_compute
from tests.measures.shared import columns, compute

WORD = "activation-statistics"
CHOSEN = [ChosenMeasure.parse(WORD), ChosenMeasure.parse("pixels")]


@pytest.fixture
def path(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=3, n_fillers=2, layers={"fc2": 6, "fc1": 5})
    return tmp_path / "s.zarr"


def test_measures_are_missing_until_their_rows_are_there_and_asking_writes_nothing(path):
    store = Store(path)
    with no_compute():
        assert build.missing(store, "fc2", CHOSEN, "none") == [WORD]
        assert build.missing(store, "", CHOSEN, "none") == ["pixels"]
    assert not store.measure(WORD).exists()
    assert compute(path, WORD) > 0
    assert build.missing(store, "fc2", CHOSEN, "none") == []
    assert build.missing(store, "fc1", CHOSEN, "none") == [WORD]
    assert compute(path, WORD) == 0
    assert compute(path, WORD, layer="fc1") > 0
    assert store.measure(WORD).labels("layer") == ["fc2", "fc1"]
    assert store.groups() == ["activations/fc1", "activations/fc2", "images", f"measures/{WORD}"]


def test_a_column_that_is_lost_is_made_again(path):
    compute(path, WORD)
    group = Store(path).measure(WORD)
    before = group.read("hoyer")
    next(group.path.glob("hoyer/c/*/*")).unlink()
    assert build.missing(Store(path), "fc2", CHOSEN, "none") == [WORD]
    compute(path, WORD)
    np.testing.assert_array_equal(Store(path).measure(WORD).read("hoyer"), before)


def test_results_that_lost_the_names_of_their_images_are_made_again(path):
    compute(path, WORD)
    group = Store(path).measure(WORD)
    before, labels = group.read("hoyer"), group.labels("image")
    shutil.rmtree(group.path / "image" / "c")
    assert build.missing(Store(path), "fc2", CHOSEN, "none") == [WORD]
    compute(path, WORD)
    assert Store(path).measure(WORD).labels("image") == labels
    np.testing.assert_array_equal(Store(path).measure(WORD).read("hoyer"), before)


def test_other_settings_are_refused(path):
    build.prepare(Store(path), "", CHOSEN, "none")
    other = [ChosenMeasure.parse({"name": "pixels", "size": 32})]
    with pytest.raises(StoreMismatchError, match=re.escape("size was 0, now 32")):
        build.missing(Store(path), "", other, "none")


def test_activations_that_are_not_finite_are_refused_by_image(path):
    values = np.ones((5, 4), np.float32)
    values[3, 1] = np.nan
    make_store(path.parent / "n.zarr", n_targets=3, n_fillers=2, layers={"fc2": 4}, activations={"fc2": values})
    with pytest.raises(InputError, match="fc2: activations of fillers/1 are not finite"):
        compute(path.parent / "n.zarr", WORD)


def test_a_measure_is_missing_where_what_new_images_are_compared_with_is_lost(path):
    columns(path, "typicality")
    store, chosen = Store(path), [ChosenMeasure.parse("typicality")]
    kept = store.reference("typicality", "fc2").read("unit_sum")
    assert build.missing(store, "fc2", chosen, "none") == []
    shutil.rmtree(store.reference("typicality", "fc2").path / "unit_sum" / "c")
    assert build.missing(store, "fc2", chosen, "none") == ["typicality"]
    compute(path, "typicality")
    np.testing.assert_array_equal(store.reference("typicality", "fc2").read("unit_sum"), kept)


def test_what_new_images_are_compared_with_is_that_of_the_settings(path):
    """Results of other settings were removed, and the reference beside them not yet."""
    columns(path, "typicality")
    store = Store(path)
    before = store.reference("typicality", "fc2").read("unit_sum")
    store.measure("typicality").remove()
    compute(path, {"name": "typicality", "similarity": "correlation"})
    reference = store.reference("typicality", "fc2")
    assert reference.attributes["recipe"]["similarity"] == "correlation"
    assert not np.allclose(reference.read("unit_sum"), before)
