"""The stage of the distances: a layer is missing until its row is there, and its work follows the protocol."""

import dask
import pytest

from distspc.distances.checks import check_distances
from distspc.distances.planning.cuts import plan_layers
from distspc.distances.planning.plan import LayerSize, smallest_plan
from distspc.errors import InputError
from distspc.pipeline.cost import Resources
from distspc.pipeline.needs.work import INTERPRETER_NBYTES, Rates, Setting
from distspc.pipeline.stages import distances
from distspc.pipeline.stages.distances import Distances
from distspc.schedule import Workers
from tests.pipeline.stages.shared import N_FILLERS, N_TARGETS, run_of, study_of

STAGE = Distances()


def test_a_layer_is_missing_until_its_row_is_there(tmp_path):
    study = study_of(tmp_path)
    run = run_of(study)
    assert [STAGE.missing(run, layer) for layer in study.layers] == [[None], [None]]
    assert not study.stored.distances.exists()
    plan = STAGE.plans(run, ["fc2"], Workers())["fc2"]
    STAGE.prepare(run, "fc2", plan)
    assert STAGE.missing(run, "fc2") == [None]
    dask.compute(*STAGE.tasks(run, "fc2", [None], plan)[None], scheduler="synchronous")
    assert [STAGE.missing(run, layer) for layer in study.layers] == [[], [None]]
    assert list(STAGE.status(study)) == [("fc2", 1, 1), ("fc1", 0, 1)]


def test_a_layer_that_does_not_fit_is_refused_and_the_others_are_planned(tmp_path):
    study = study_of(tmp_path)
    fc1, fc2 = (smallest_plan(check_distances(distances._options(study, name))).task_nbytes for name in ("fc1", "fc2"))
    assert fc1 < fc2
    plans = STAGE.plans(run_of(study), ["fc1", "fc2"], Workers(2, 1, fc2 - 1))
    assert str(plans["fc2"].error).startswith("fc2: the smallest distance task needs")
    plan, memory = plans["fc1"]
    assert plan.task_nbytes <= memory == fc2 - 1


def test_a_layer_is_cut_for_the_workers_that_others_beside_it_leave(tmp_path, monkeypatch):
    study = study_of(tmp_path, layers=["block5_pool", "fc2", "fc1"])
    study.stored.layer("block5_pool").allocate(  # nothing of it is there yet
        coords={"image": study.stored.images.labels("image"), "feature": 7}, chunks={"image": 20}, recipe={}
    )
    shared = []
    monkeypatch.setattr(distances, "plan_layers", lambda sizes, w: shared.extend(sizes) or plan_layers(shared, w))
    assert list(STAGE.plans(run_of(study), ["fc2"], Workers(), study.layers)) == ["fc2"]
    n_images = N_TARGETS + N_FILLERS
    widths = {"block5_pool": 7, "fc2": 30, "fc1": 20}
    assert shared == [
        LayerSize(name, N_TARGETS, (0, n_images), width, n_images, width, 1) for name, width in widths.items()
    ]


def test_settings_that_cannot_be_used_are_refused_before_they_replace_anything(tmp_path):
    study = study_of(tmp_path, distinctiveness={"neighbours": 500})
    with pytest.raises(InputError, match="`neighbours` is 500"):
        STAGE.check_stored(study)


def test_the_authors_protocol_compares_with_the_fillers_alone(tmp_path):
    setting = Setting(2222, 8042, Resources(1, 4, 16 * 2**30, 50.0), Rates())
    ours, theirs = (
        STAGE.loads(study_of(tmp_path / name, distinctiveness={"protocol": name}), setting).chains[0][0]
        for name in ("paper", "spc-public")
    )
    assert theirs.flop / ours.flop == pytest.approx(8042 / 10264)


def test_a_plan_counts_the_tasks_that_read_and_all_that_take_time(tmp_path):
    study = study_of(tmp_path, layers=["block1_pool"])
    (chain,) = STAGE.loads(study, Setting(2222, 8042, Resources(64, 4, 16 * 2**30, 50.0), Rates())).chains
    tiles, sums, search, settle, last = chain
    assert [load.aside for load in chain] == [False, True, True, False, True]
    assert sums.n_tasks == tiles.n_tasks - search.n_tasks
    assert tiles.moved_nbytes > 4 * 10_264 * 802_816
    assert settle.moved_nbytes == 4 * 2 * 2222 * 802_816
    assert last.n_tasks == 1


def test_workers_without_memory_for_any_cut_are_refused_before_they_are_there(tmp_path):
    study = study_of(tmp_path, layers=["fc2", "block1_pool"])
    STAGE.check_workers(study, Workers(4, 4, 2**30))
    with pytest.raises(InputError, match=r"block1_pool: the smallest distance task needs .*`memory` in the profile"):
        STAGE.check_workers(study, Workers(4, 4, 235 * 2**20))


def test_the_memory_of_a_task_in_the_plan_is_that_of_its_worker(tmp_path):
    study, resources = study_of(tmp_path), Resources(1, 1, 4 * 2**30, 50.0)
    plans = STAGE.plans(run_of(study), study.layers, Workers(1, 1, int(0.6 * resources.memory_nbytes)))
    loads = {
        chain[0].layer: chain for chain in STAGE.loads(study, Setting(N_TARGETS, N_FILLERS, resources, Rates())).chains
    }
    for layer, (plan, _) in plans.items():
        assert {load.task_nbytes for load in loads[layer]} >= {INTERPRETER_NBYTES + plan.task_nbytes}
