"""The stage of the reconstruction: seeds are missing one by one, and gathered units do not stay."""

from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest

from distspc.pipeline.cost import Resources
from distspc.pipeline.needs.work import PlannedIterations, Rates, Setting
from distspc.pipeline.stages.reconstruct import Reconstruct, planned_iterations
from distspc.reconstruction.options import ReconstructionOptions
from distspc.results.training import Iterations
from tests.pipeline.stages.shared import run_of, study_of

STAGE = Reconstruct()


def test_seeds_are_missing_until_their_errors_are_there(tmp_path):
    study = study_of(tmp_path)
    run = run_of(study)
    assert STAGE.missing(run, "fc2") == [0, 1]
    assert not study.stored.reconstruction.exists()
    STAGE.prepare(run, "fc2")
    tasks = STAGE.tasks(run, "fc2", [1], None)
    assert list(tasks) == [1]
    dask.compute(*tasks[1], scheduler="synchronous")
    assert STAGE.missing(run, "fc2") == [0]
    assert list(STAGE.status(study)) == [("fc2", 1, 2), ("fc1", 0, 2)]


def test_iterations_are_known_of_finished_seeds_of_the_same_settings(tmp_path):
    study = study_of(tmp_path)
    assert STAGE.iterations(study) == STAGE.remarks(study) == {}
    study.run(stages=["reconstruct"])
    n = study.stored.reconstruction.read("n_steps")
    assert STAGE.iterations(study) == {"fc2": Iterations.of(n[0]), "fc1": Iterations.of(n[1])}
    assert STAGE.remarks(study)["fc1"] == f"iterations a batch: median {np.median(n[1]):.0f}, most {n[1].max()}"
    other = study.reconstruction.model_copy(update={"batch_size": 6})
    assert STAGE.iterations(study.model_copy(update={"reconstruction": other})) == {}


def test_iterations_of_a_damaged_store_are_not_known(tmp_path):
    study = study_of(tmp_path)
    study.run(stages=["reconstruct"])
    chunk = next(path for path in (study.stored.reconstruction.path / "n_steps/c").rglob("*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert STAGE.iterations(study) == {}


def test_iterations_are_planned_as_the_layer_took_or_the_others_or_by_default():
    paper, stable = ReconstructionOptions(step="paper"), ReconstructionOptions(step="stable")
    rates = Rates(train_steps=20.0, shortened_batches=100, shortened_steps=50.0)
    assert planned_iterations(paper, {}, ["fc2"], rates) == {"fc2": PlannedIterations(20.0, "default")}
    assert planned_iterations(stable, {}, ["fc2"], rates)["fc2"].mean == pytest.approx(23.0)
    few = replace(stable, n_batches=10)
    assert planned_iterations(few, {}, ["fc2"], rates)["fc2"].mean == pytest.approx(50.0)
    assert planned_iterations(stable, {"fc1": 40.0, "fc2": 70.0}, ["fc2", "block1_pool"], rates) == {
        "fc2": PlannedIterations(70.0, "layer"),
        "block1_pool": PlannedIterations(55.0, "store"),
    }


def test_a_layer_with_twice_the_iterations_takes_longer(tmp_path):
    study = study_of(tmp_path, reconstruction={"units": 1000, "codewords": 500, "step": "paper"})
    setting = Setting(2222, 8042, Resources(1, 4, 16 * 2**30, 50.0), Rates(), iterations={"fc2": 40.0, "fc1": 80.0})
    fc2, fc1 = (chain[1].flop for chain in STAGE.loads(study, setting).chains)
    # In float64, which counts twice: a product of 250 x 500 x 500 an iteration, 1,000 batches.
    assert fc1 - fc2 == pytest.approx(40 * 1000 * 2 * 250 * 500 * 500 / 0.5)


def test_no_gathered_units_are_left_where_nothing_is_to_do(tmp_path):
    study = study_of(tmp_path)
    study.run(stages=["reconstruct"])
    left = Path(f"{study.store}.units") / "fc2-0000"
    left.mkdir(parents=True)
    STAGE.run(run_of(study))
    assert not left.exists()


def test_seeds_multiply_the_fits_and_not_the_gathering(tmp_path):
    setting = Setting(2222, 8042, Resources(1, 4, 16 * 2**30, 50.0), Rates())
    settings = {"units": 1000, "codewords": 500}
    one, two = (
        STAGE.loads(study_of(tmp_path / str(n), reconstruction={**settings, "seeds": list(range(n))}), setting).chains[
            0
        ]
        for n in (1, 2)
    )
    assert one[0].n_tasks == two[0].n_tasks
    assert 2 * one[1].flop == pytest.approx(two[1].flop)
    assert 2 * one[1].n_tasks == two[1].n_tasks
