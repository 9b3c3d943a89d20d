"""How far a study is, from its store alone."""

import numpy as np

from distspc.cli.dialogue.output import status_table
from distspc.pipeline.status import StageStatus, study_status
from tests.pipeline.stages.shared import study_of


def test_every_stage_and_layer_has_a_row(tmp_path):
    study = study_of(tmp_path)
    rows = {(row.stage, row.layer): row for row in study_status(study)}
    assert list(rows) == [
        ("extract", "fc2"), ("extract", "fc1"), ("distances", "fc2"), ("distances", "fc1"),
        ("reconstruct", "fc2"), ("reconstruct", "fc1"), ("report", ""),
    ]  # fmt: skip
    assert rows["extract", "fc2"].complete
    assert (rows["reconstruct", "fc2"].n_done, rows["reconstruct", "fc2"].n_tasks) == (0, 2)
    study.run(stages=["distances"])
    rows = {(row.stage, row.layer): row for row in study.status()}
    assert rows["distances", "fc1"].complete
    assert not rows["report", ""].complete


def test_finished_seeds_say_how_many_iterations_batches_took(tmp_path):
    study = study_of(tmp_path)
    study.model_copy(update={"layers": ["fc1"]}).run(stages=["reconstruct"])
    rows = {(row.stage, row.layer): row for row in study.status()}
    n = study.stored.reconstruction.read("n_steps")
    assert rows["reconstruct", "fc1"].note == f"iterations a batch: median {np.median(n):.0f}, most {n.max()}"
    assert rows["reconstruct", "fc2"].note == rows["distances", "fc1"].note == ""
    assert f"done (iterations a batch: median {np.median(n):.0f}, most {n.max()})" in status_table(study.status())


def test_results_of_other_settings_are_to_be_done(tmp_path):
    study = study_of(tmp_path)
    study.run(stages=["distances"])
    other = study_of_metric(study, "cosine")
    (row,) = [row for row in study_status(other) if (row.stage, row.layer) == ("distances", "fc2")]
    assert row.n_done == 0
    assert 'metric was "euclidean", now "cosine"' in row.differs


def study_of_metric(study, metric):
    settings = study.distinctiveness.model_copy(update={"metric": metric})
    return study.model_copy(update={"distinctiveness": settings})


def test_a_row_is_complete_when_nothing_is_left():
    assert StageStatus("distances", "fc2", 3, 3).complete
    assert not StageStatus("distances", "fc2", 2, 3).complete
