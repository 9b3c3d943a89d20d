"""Tests of `distspc.pipeline.stages.readouts`."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.pipeline.run import Study, run_stages
from distspc.pipeline.stages.registry import STAGES
from distspc.pipeline.stages.relate import relations_are_current
from distspc.results.stored_tables import read_table_of
from distspc.testing.stores import image_ids, make_store, write_measures
from tests.pipeline.stages.shared import run_of

N_TARGETS, LAYERS = 40, {"fc1": 20, "fc2": 30}


@pytest.fixture
def study_with(tmp_path):
    """Make a study whose store has activations and measures; `resmem` is a column of its scores."""
    made = make_store(tmp_path / "s.zarr", n_targets=N_TARGETS, n_fillers=10, layers=LAYERS)
    write_measures(tmp_path / "s.zarr", image_ids(N_TARGETS, 10), N_TARGETS, list(LAYERS))
    rng = np.random.default_rng(0)
    signal = made["fc2"][:N_TARGETS] @ rng.standard_normal(30)
    table = pd.DataFrame({"im_ind": range(1, N_TARGETS + 1), "hit": signal / signal.std()})
    table["hit"] += rng.standard_normal(N_TARGETS) / 2
    table["resmem"] = table["hit"] + rng.standard_normal(N_TARGETS)
    table.to_csv(tmp_path / "scores.csv", index=False)

    def make(**relate):
        content = {
            "store": "s.zarr",
            "activations": "A",
            "layers": list(LAYERS),
            "scores": {"file": "scores.csv", "columns": ["hit"]},
            "reconstruction": {"seeds": [0]},
            "relate": {"bootstrap": 20, **relate},
        }
        study = Study.from_dict(content, base=tmp_path)
        study.stored.distances.set_attributes(recipe=asdict(study.distance_options))
        study.stored.reconstruction.set_attributes(recipe=asdict(study.reconstruction_options))
        return study

    return make


def run(study, *stages):
    return run_stages(study, lambda _: None, stages=stages)


def test_relate_reads_scores_out_of_activations_and_measures_beside_predictions(study_with):
    study = study_with(readout={"folds": 5}, predictions="resmem")
    outcome = run(study, "readout", "relate")
    assert outcome.computed == {"readout": 2, "relate": 1, "readouts": 3}
    table = read_table_of(study.stored.readout)
    assert list(zip(table["kind"], table["layer"], strict=True)) == [
        *(("activations", "fc1"), ("activations", "fc2")), ("measures", "all"), ("prediction", "")
    ]  # fmt: skip
    assert table["name"].tolist()[3] == "resmem"
    assert table["n_folds"].tolist() == [5, 5, 5, 0]
    assert table.loc[1, "r"] > 0.3
    assert relations_are_current(study)
    assert not run(study, "readout", "relate").computed


def test_new_scores_need_no_new_pass(study_with, tmp_path):
    study = study_with(readout=True)
    run(study, "readout", "relate")
    for layer in LAYERS:
        study.stored.layer(layer).remove()
    before = read_table_of(study.stored.readout)
    table = pd.read_csv(tmp_path / "scores.csv")
    table.assign(hit=-table["hit"]).to_csv(tmp_path / "scores.csv", index=False)
    assert not relations_are_current(study)
    STAGES["relate"].run(run_of(study))
    after = read_table_of(study.stored.readout)
    np.testing.assert_allclose(after["r"], before["r"])
    prediction = study.stored.predicted.read("prediction")
    assert np.corrcoef(prediction[1, 0], -table["hit"])[0, 1] > 0.3


def test_another_bootstrap_reads_nothing_out_again_but_the_measures(study_with):
    run(study_with(readout=True), "readout", "relate")
    study = study_with(readout=True, bootstrap=30)
    assert not relations_are_current(study)
    assert run(study, "relate").computed == {"relate": 1, "readouts": 1}


def test_what_lacks_a_gram_matrix_is_said_and_read_out_once_it_is_there(study_with):
    study = study_with(readout=True)
    run(study, "relate")
    sentence = "No readout of fc1, fc2: no Gram matrix is there; `distspc readout` makes it."
    assert study.stored.readout.attributes["notices"] == {"readout": [[sentence, True]]}
    assert relations_are_current(study)
    run(study, "readout")
    assert not relations_are_current(study)
    run(study, "relate")
    assert "notices" not in study.stored.readout.attributes
    assert set(read_table_of(study.stored.readout)["kind"]) == {"activations", "measures"}


def test_without_readout_and_predictions_relations_are_as_they_were(study_with):
    study = study_with()
    run(study, "relate")
    assert not study.stored.readout.exists()
    assert "readout" not in study.stored.relations.attributes["recipe"]["relate"]
    assert relations_are_current(study)
    assert not relations_are_current(study_with(predictions="resmem"))


def test_predictions_may_be_of_a_table_of_their_own(study_with, tmp_path):
    pd.DataFrame({"picture": range(2, N_TARGETS + 1), "net": np.arange(N_TARGETS - 1.0)}).to_csv(
        tmp_path / "net.csv", index=False
    )
    study = study_with(predictions={"file": "net.csv", "image": "picture", "columns": ["net"]})
    run(study, "relate")
    (row,) = read_table_of(study.stored.readout).to_dict("records")
    hit = pd.read_csv(tmp_path / "scores.csv")["hit"]
    assert (row["name"], row["n"], row["n_missing"]) == ("net", N_TARGETS - 1, 1)
    np.testing.assert_allclose(row["r"], np.corrcoef(hit[1:], np.arange(N_TARGETS - 1))[0, 1])
    text = f"{tmp_path / 'net.csv'}: 1 target has no prediction: targets/1."
    assert study.stored.readout.attributes["notices"]["readout"] == [[text, False]]


def test_columns_of_predictions_that_are_not_there(study_with):
    with pytest.raises(InputError, match="no column 'resnem' in the image table or the scores; did you mean 'resmem'"):
        run(study_with(predictions="resnem"), "relate")
    with pytest.raises(InputError, match=r"predictions .*absent.csv"):
        run(study_with(predictions={"file": "absent.csv", "columns": ["a"]}), "relate")
