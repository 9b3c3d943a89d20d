"""The study as a reference: which layers, what is there, what changed."""

import shutil
from dataclasses import replace

import pytest

from distspc.errors import InputError
from distspc.measures.registry import MEASURES
from distspc.pipeline.run import Study
from distspc.scoring.reference import (
    chosen_layers,
    first_training_row,
    has_changed,
    missing_offsets,
    read_reference,
    study_state,
)
from distspc.testing.stores import write_moments
from tests.scoring.shared import LAYERS, N_TARGETS, study_of_files


def test_layers_are_chosen_by_label_or_by_their_own_name(tmp_path):
    models = [{"name": name, "weights": f"{name}.onnx", "layers": ["/a", "/b"]} for name in ("one", "two")]
    study = Study.from_dict({"store": "s.zarr", "images": {"targets": "T"}, "models": models}, base=tmp_path)
    assert chosen_layers(study, None) == ["/a@one", "/b@one", "/a@two", "/b@two"]
    assert chosen_layers(study, ["/b"]) == ["/b@one", "/b@two"]
    assert chosen_layers(study, ["/b@two", "/a@two"]) == ["/a@two", "/b@two"]
    with pytest.raises(InputError, match=r"no layer '/c'; .*it has /a@one"):
        chosen_layers(study, ["/c"])


@pytest.fixture
def study(tmp_path):
    return study_of_files(tmp_path)


def test_what_is_there_is_what_can_be_scored(study):
    study.run(stages=["reconstruct"])
    found = read_reference(study)
    assert [one.layer for one in found.layers] == list(LAYERS)
    assert [one.seeds for one in found.layers] == [(0, 3)] * 2
    assert found.seeds == (0, 3)
    assert found.layers[0].size.pool == (0, study.stored.images.sizes["image"])
    assert found.pool_nbytes == 4 * sum(LAYERS.values()) * study.stored.images.sizes["image"]
    assert found.notices == (
        "no percentiles of distinctiveness at any layer: the study's own distances are not there yet: run "
        "`distspc distances`",
    )
    assert missing_offsets(found) == {}


def test_a_layer_that_lacks_all_is_left_out_and_said(study):
    study.run(stages=["distances", "reconstruct"])
    study.stored.layer("fc1").remove()
    found = read_reference(study)
    assert [one.layer for one in found.layers] == ["fc2"]
    assert found.notices == ("neither measure at fc1: activations are not there yet: run `distspc extract`",)


def test_what_is_added_changes_nothing_and_what_is_made_anew_does(study):
    study.run(stages=["reconstruct"])
    before, first = study_state(study.stored, ["fc2"]), read_reference(study)
    assert not has_changed(before, study_state(study.stored, ["fc2"]))
    study.run(stages=["distances"])
    assert not has_changed(before, study_state(study.stored, ["fc2"]))
    assert read_reference(study).fingerprint == read_reference(study).fingerprint != first.fingerprint
    study.stored.reconstruction.set_attributes(written=["2031-01-01T00:00:00+00:00", "2031-01-01T00:00:00+00:00"])
    assert has_changed(before, study_state(study.stored, ["fc2"]))
    study.stored.reconstruction.remove()
    assert has_changed(before, study_state(study.stored, ["fc2"]))


def test_moments_that_are_computed_anew_are_another_state_of_the_study(study):
    """Standardised features are compared on their scale."""
    write_moments(study.store, "fc2")
    before, scaling = study_state(study.stored, ["fc2"]), study.stored.scaling("fc2")
    assert not has_changed(before, study_state(study.stored, ["fc2"]))
    scaling.set_attributes(recipe={**scaling.attributes["recipe"], "images": "others"})
    assert has_changed(before, study_state(study.stored, ["fc2"]))


def test_a_reference_with_fewer_seeds_or_without_a_pool_is_another(study):
    found = read_reference(study)
    layer, other = replace(found.layers[0], seeds=(0, 3)), found.layers[1]
    some = [layer, replace(layer, seeds=(3,)), replace(layer, size=None), replace(layer, has_activations=False)]
    assert len({replace(found, layers=(one, other)).fingerprint for one in some}) == 4


def test_further_measures_of_other_settings_are_another_state_of_the_study(study):
    """So that a run that was stopped does not go on with columns of two kinds."""
    study.run(stages=["reconstruct"])
    group, before = study.stored.measure("typicality"), read_reference(study)
    ids = study.stored.images.labels("image")
    own = MEASURES["typicality"].variables()
    for similarity in ("cosine", "correlation"):
        group.remove()
        recipe = {"similarity": similarity}
        group.allocate(coords={"image": ids, "layer": ["fc2"]}, chunks={}, recipe=recipe, variables=list(own), own=own)
        now = read_reference(study)
        assert now.fingerprint != before.fingerprint
        assert has_changed(before.state, now.state) == (
            similarity == "correlation"
        )  # at first it came to what was there
        before = now


def test_the_model_was_trained_from_the_first_image_or_the_first_filler(study):
    options = study.reconstruction_options
    assert first_training_row(study.stored, options) == 0
    fillers = study.reconstruction.model_copy(update={"train_on": "fillers"}).options
    assert first_training_row(study.stored, fillers) == N_TARGETS


def test_the_seeds_that_lack_their_offset_are_told_one_by_one(study):
    study.run(stages=["reconstruct"])
    group = study.stored.reconstruction
    at = str(group.position("layer", "fc1")), str(group.position("seed", 3))
    shutil.rmtree(group.path.joinpath("unit_mean", "c", *at))
    assert missing_offsets(read_reference(study)) == {"fc1": [3]}


def test_an_older_store_without_activations_is_refused(study):
    study.run(stages=["reconstruct"])
    shutil.rmtree(study.store / "reconstruction" / "unit_mean")
    assert missing_offsets(read_reference(study)) == {"fc2": [0, 3], "fc1": [0, 3]}
    shutil.rmtree(study.store / "activations" / "fc1" / "activation" / "c")
    with pytest.raises(InputError, match=r"fc1: the store is of an older version.*--layers"):
        missing_offsets(read_reference(study))
