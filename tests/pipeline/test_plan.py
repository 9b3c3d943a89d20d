"""The plan of a whole study: on any number of workers near what no order of its tasks falls short of."""

from __future__ import annotations

import pytest

from distspc.cli.dialogue.output import plan_text
from distspc.errors import InputError
from distspc.extraction.backends.keras_vgg16 import VGG16_MEMORY
from distspc.pipeline.needs.work import INTERPRETER_NBYTES, Rates, Resources
from distspc.pipeline.plan import plan_whole, profile_resources
from distspc.pipeline.stages.registry import ON_CLUSTER, STAGES
from distspc.study.file import StudyFile
from tests.pipeline.imported_study import make_study, write_activations

SIZES = {"n_targets": 2222, "n_fillers": 8042}


@pytest.fixture
def study():
    return StudyFile.from_dict({"store": "s.zarr", "images": {"targets": "t", "fillers": "f"}})


def planned(study, n_workers, **sizes):
    """The plan on workers of profile slurm-cpu."""
    resources = profile_resources(study, "slurm-cpu", [f"workers={n_workers}"], "local", 50.0)
    return plan_whole(study, **(sizes or SIZES), resources=resources)


def seconds(plan, stage):
    return sum(one.seconds for one in plan.stages if one.stage == stage)


@pytest.mark.parametrize(("n_workers", "times"), [(16, 12), (64, 40)])
def test_distances_of_the_classic_study_are_so_many_times_as_fast(study, n_workers, times):
    assert seconds(planned(study, 1), "distances") / seconds(planned(study, n_workers), "distances") >= times


@pytest.mark.parametrize("n_workers", [1, 4, 16, 64])
def test_the_classic_study_ends_little_after_its_lower_bound(study, n_workers):
    plan = planned(study, n_workers)
    assert (1 - 1e-9) * plan.lower_bound_s <= plan.makespan_s <= 1.15 * plan.lower_bound_s
    assert plan.makespan_s <= sum(seconds(plan, stage) for stage in ("extract", "distances", "reconstruct")) + 1e-6


def test_stages_on_other_profiles_follow_one_another(study):
    def resources(stage):
        return Resources(16 if stage == "reconstruct" else 17, 4, 16 * 2**30, 50.0, stage)

    apart = plan_whole(study, **SIZES, resources=resources)
    stages = ("extract", "distances", "reconstruct")
    assert apart.makespan_s == pytest.approx(sum(seconds(apart, stage) for stage in stages))
    assert apart.makespan_s > planned(study, 17).makespan_s
    assert apart.as_dict()["profile"] == "extract, distances, reconstruct"


def test_the_work_of_each_stage_is_looked_at_once(study, monkeypatch):
    asked = []
    for stage in STAGES.values():
        loads = type(stage).loads
        monkeypatch.setattr(type(stage), "loads", lambda s, *a, loads=loads: asked.append(s.name) or loads(s, *a))
    planned(study, 4)
    assert asked == [*ON_CLUSTER]


def test_a_plan_is_plain_numbers(study):
    found = planned(study, 16).as_dict()
    disk = {"rounds", "forward_passes", "disk_nbytes"}
    assert set(found) == {"stages", "makespan_s", "profile", "n_workers", "gflops_per_core", "iterations", *disk}
    assert list(found["iterations"]) == list(study.layers)
    assert all(set(row) == {"per_batch", "source"} for row in found["iterations"].values())
    assert (found["profile"], found["n_workers"], found["gflops_per_core"]) == ("slurm-cpu", 16, 50.0)
    keys = {"stage", "layer", "n_tasks", "task_nbytes", "io_nbytes", "seconds"}
    assert all(set(row) == keys for row in found["stages"])
    assert [row["layer"] for row in found["stages"] if row["stage"] == "distances"] == list(study.layers)
    assert sum(row["n_tasks"] for row in found["stages"] if row["stage"] == "extract") == 161


def test_iterations_are_those_of_finished_seeds_where_there_are_some(tmp_path):
    write_activations(tmp_path)
    study = make_study(tmp_path, layers=["fc2", "fc1"])
    before = study.plan(gflops_per_core=100.0)
    default = Rates().train_steps
    assert before.as_dict()["iterations"] == {
        layer: {"per_batch": default, "source": "default"} for layer in ("fc2", "fc1")
    }
    assert f"iterations a batch of the reconstruction: {default:.1f} by default" in plan_text(study, before)
    make_study(tmp_path, layers=["fc1"]).run(stages=["extract", "reconstruct"])
    mean = study.stored.reconstruction.read("n_steps").mean()
    after = study.plan(gflops_per_core=100.0)
    assert after.as_dict()["iterations"] == {
        "fc2": {"per_batch": pytest.approx(mean), "source": "store"},
        "fc1": {"per_batch": pytest.approx(mean), "source": "layer"},
    }
    words = f"fc1 {mean:.1f}, as finished seeds took; fc2 {mean:.1f}, the mean of these"
    assert f"iterations a batch of the reconstruction: {words}\n" in plan_text(study, after)
    assert (seconds(after, "reconstruct") > seconds(before, "reconstruct")) == (mean > default)


def test_a_model_without_batches_has_no_iterations_in_its_plan(tmp_path):
    write_activations(tmp_path)
    study = make_study(tmp_path, reconstruction={"units": 6, "codewords": 4, "solver": "pca"})
    found = study.plan(gflops_per_core=100.0)
    assert found.as_dict()["iterations"] == {}
    assert "iterations" not in plan_text(study, found)


def test_a_profile_that_follows_the_work_counts_with_all_its_workers(study):
    resources = profile_resources(study, "slurm-cpu", ["adapt={minimum: 0, maximum: 20}"], "local", 50.0)
    assert resources("distances") == Resources(20, 4, 16 * 2**30, 50.0, "slurm-cpu")


def test_workers_too_small_for_any_cut_are_refused_by_layer_need_and_setting(study):
    resources = profile_resources(study, "slurm-cpu", ["memory=0.3 GiB"], "local", 50.0)
    message = r"block1_pool: the smallest distance task needs .* and may use 184.3 MiB; .*`memory` in the profile"
    with pytest.raises(InputError, match=message):
        plan_whole(study, **SIZES, resources=resources)


def test_workers_that_have_extracted_keep_the_packages_of_the_network(study):
    def memory(profile_of):
        def resources(stage):
            return Resources(2, 4, 16 * 2**30, 50.0, profile_of(stage))

        plan = plan_whole(study, **SIZES, resources=resources)
        return {(one.stage, one.layer): one.task_nbytes for one in plan.stages}

    together, apart = memory(lambda stage: "one"), memory(lambda stage: stage)
    assert together.keys() == apart.keys()
    for (stage, layer), nbytes in together.items():
        more = 0 if stage == "extract" else VGG16_MEMORY.left - INTERPRETER_NBYTES
        assert nbytes - apart[stage, layer] == more
