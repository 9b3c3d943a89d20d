"""The stage of the reconstruction: seeds are missing one by one, and gathered units do not stay."""

from pathlib import Path

import dask
import pytest

from distspc.pipeline.cost import Resources
from distspc.pipeline.needs.work import Rates, Setting
from distspc.pipeline.stages.reconstruct import Reconstruct
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
