"""The cost model: what it charges, how tasks fill workers, rates fitted to a measured sample."""

from dataclasses import replace

import pytest

from distspc.errors import InputError
from distspc.extraction.backends.keras_vgg16 import VGG16_MEMORY
from distspc.pipeline.cost import Rates, Resources, fit_rates, measure_gflops, plan_study
from distspc.study.file import StudyFile

HERE = Resources(n_workers=2, cores=1, memory_nbytes=8 * 2**30, gflops_per_core=60.0)
SIZES = {"n_targets": 2222, "n_fillers": 8042}


@pytest.fixture
def study():
    return StudyFile.from_dict({"store": "s.zarr", "images": {"targets": "t"}, "layers": ["block4_pool", "fc1", "fc2"]})


def by_stage(plans):
    return {s: sum(p.seconds for p in plans if p.stage == s) for s in ("extract", "distances", "reconstruct")}


def test_a_faster_core_saves_what_products_take_and_no_more(study):
    slow = by_stage(plan_study(study, **SIZES, resources=HERE))
    fast = by_stage(plan_study(study, **SIZES, resources=replace(HERE, gflops_per_core=120.0)))
    for stage, seconds in slow.items():
        assert seconds / 2 < fast[stage] < seconds


def test_idle_workers_do_not_help(study):
    few = by_stage(plan_study(study, **SIZES, resources=replace(HERE, n_workers=3)))
    many = by_stage(plan_study(study, **SIZES, resources=replace(HERE, n_workers=300)))
    # Three layers of one seed are three tasks.
    assert many["reconstruct"] == pytest.approx(few["reconstruct"], rel=0.02)  # more to gather the units
    assert many["extract"] < few["extract"]


def test_a_task_that_does_not_fit_is_refused(study):
    with pytest.raises(InputError, match=r"extract: a task needs about .* GiB and a worker of this profile has 1\.0"):
        plan_study(study, **SIZES, resources=replace(HERE, memory_nbytes=2**30))


def test_shortened_steps_cost_iterations_where_a_dictionary_can_need_them(study):
    def seconds(**settings):
        some = StudyFile.from_dict({**study.model_dump(exclude={"reconstruction"}), "reconstruction": settings})
        return by_stage(plan_study(some, **SIZES, resources=HERE))["reconstruct"]

    assert seconds() == seconds(step="stable") > seconds(step="paper")
    assert seconds(codewords=200) == seconds(codewords=200, step="paper")


def test_rates_fitted_to_a_sample_give_its_times(study):
    sample = {"n_targets": 300, "n_fillers": 700}
    measured = {"extract": 600.0, "distances": 9.0, "reconstruct": 321.0}
    rates = fit_rates(study, measured, **sample, resources=HERE, rates=Rates(train_steps=31.0))
    assert rates.train_steps == 31.0
    found = by_stage(plan_study(study, **sample, resources=HERE, rates=rates))
    assert found["extract"] == pytest.approx(600.0)
    assert found["reconstruct"] == pytest.approx(321.0, rel=0.01)
    assert found["distances"] == pytest.approx(9.0, rel=0.01)


def test_rates_stay_positive_where_the_sample_is_too_small(study):
    rates = fit_rates(study, {"distances": 0.001}, n_targets=2, n_fillers=2, resources=HERE)
    assert rates.efficiency["distances"] > 0
    assert rates.efficiency["extract"] == Rates().efficiency["extract"]


def test_the_speed_of_a_core_is_positive():
    assert measure_gflops(64, repeats=1) > 0
    assert measure_gflops(64, repeats=1, dtype="float64", n_threads=1) > 0


def test_a_million_images_do_not_ask_for_more_memory(study):
    workers = replace(HERE, n_workers=1000, memory_nbytes=16 * 2**30)
    few, many = (
        next(p for p in plan_study(study, n_targets=2222, n_fillers=n, resources=workers) if p.stage == "reconstruct")
        for n in (8042, 1_000_000)
    )
    assert many.task_nbytes < few.task_nbytes < VGG16_MEMORY.left + 2**29
    assert many.seconds > few.seconds
