"""Tests of `distspc.pipeline.stages.readout`."""

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.pipeline.cost import plan_study, stage_loads
from distspc.pipeline.needs.work import Rates, Resources, Setting
from distspc.pipeline.run import run_stages
from distspc.pipeline.stages.registry import STAGES
from distspc.schedule import Workers
from tests.pipeline.stages.shared import N_TARGETS, run_of, study_of

ON = {"relate": {"readout": True}}
RESOURCES = Resources(4, 2, 8 * 2**30, 50.0)


def test_nothing_is_made_or_asked_for_where_a_study_asks_for_no_readout(tmp_path):
    study = study_of(tmp_path)
    stage = STAGES["readout"]
    assert [list(stage.missing(run_of(study), layer)) for layer in study.layers] == [[], []]
    assert list(stage.status(study)) == []
    assert stage.loads(study, Setting(8, 12, RESOURCES, Rates())) is None
    with pytest.raises(InputError, match="has no readout; add `readout: true` under `relate`"):
        stage.check(study, run_of(study).images, ["readout"])


def test_matrices_are_made_once_and_outlive_the_activations(tmp_path):
    study = study_of(tmp_path, **ON)
    outcome = run_stages(study, lambda _: None, stages=["readout"])
    assert outcome.computed == {"readout": 2}
    assert study.stored.gram.sizes == {"layer": 2, "target": N_TARGETS, "other_target": N_TARGETS}
    assert [row[1:] for row in STAGES["readout"].status(study)] == [(1, 1), (1, 1)]
    study.stored.layer("fc1").remove()
    assert list(STAGES["readout"].missing(run_of(study), "fc1")) == []


def test_a_layer_that_cannot_be_used_stops_no_other(tmp_path):
    study = study_of(tmp_path, **ON)
    values = study.stored.layer("fc2").read("activation")
    values[3, 1] = np.inf
    study.stored.layer("fc2").write("activation", values)
    outcome = run_stages(study, lambda _: None, stages=["readout"])
    (failure,) = outcome.failures
    assert failure.title == "Gram matrix of layer fc2"
    assert "NaN or infinite activations of image targets/4" in failure.reason
    assert [row[1:] for row in STAGES["readout"].status(study)] == [(0, 1), (1, 1)]


def test_a_plan_says_what_a_pass_over_the_targets_and_the_readouts_take(tmp_path):
    study = study_of(tmp_path, **ON)
    sizes = {"n_targets": 2222, "n_fillers": 8042}
    plans = {plan.layer: plan for plan in plan_study(study, **sizes, resources=RESOURCES) if plan.stage == "readout"}
    assert set(plans) == {"fc2", "fc1"}
    assert plans["fc2"].n_tasks == 2  # products, ridge
    assert plans["fc2"].moved_nbytes == 4 * 2222 * 30 + 8 * 2222**2
    assert plans["fc2"].flop > 2222**2 * 30
    loads = stage_loads(study, Setting(2222, 8042, RESOURCES, Rates()))["readout"]
    assert 1 < loads.chains[0][-1].seconds < 60


def test_workers_too_small_for_a_readout_are_refused(tmp_path):
    study = study_of(tmp_path, **ON)
    run = run_of(study)
    small = Workers(1, 1, 10_000)
    assert all(
        "leave out `readout` under `relate`" in str(plan.error)
        for plan in STAGES["readout"].plans(run, ["fc1", "fc2"], small).values()
    )
    with pytest.raises(InputError, match="the smallest task of its Gram matrix"):
        STAGES["readout"].check_workers(study, small)
