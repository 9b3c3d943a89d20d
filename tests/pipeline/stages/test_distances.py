"""The stage of the distances: a layer is missing until its row is there, and its work follows the protocol."""

import dask
import pytest

from distspc.errors import InputError
from distspc.pipeline.cost import Resources
from distspc.pipeline.stages.distances import Distances
from distspc.pipeline.stages.work import Rates, Setting
from tests.pipeline.stages.shared import run_of, study_of

STAGE = Distances()


def test_a_layer_is_missing_until_its_row_is_there(tmp_path):
    study = study_of(tmp_path)
    run = run_of(study)
    assert [STAGE.missing(run, layer) for layer in study.layers] == [[None], [None]]
    assert not study.stored.distances.exists()
    STAGE.prepare(run, "fc2")
    assert STAGE.missing(run, "fc2") == [None]
    dask.compute(*STAGE.tasks(run, "fc2", [None], None)[None], scheduler="synchronous")
    assert [STAGE.missing(run, layer) for layer in study.layers] == [[], [None]]
    assert list(STAGE.status(study)) == [("fc2", 1, 1), ("fc1", 0, 1)]


def test_settings_that_cannot_be_used_are_refused_before_they_replace_anything(tmp_path):
    study = study_of(tmp_path, distinctiveness={"neighbours": 500})
    with pytest.raises(InputError, match="500 neighbours"):
        STAGE.check_stored(study)


def test_the_authors_protocol_compares_with_the_fillers_alone(tmp_path):
    setting = Setting(2222, 8042, Resources(1, 4, 16 * 2**30, 50.0), Rates())
    ours, theirs = (
        STAGE.loads(study_of(tmp_path / name, distinctiveness={"protocol": name}), setting).batches[0][0]
        for name in ("paper", "spc-public")
    )
    assert theirs.flop / ours.flop == pytest.approx(8042 / 10264)
