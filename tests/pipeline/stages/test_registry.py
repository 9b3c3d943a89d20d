import re

import pytest

from distspc.errors import StoreMismatchError
from distspc.pipeline.stages.registry import ON_CLUSTER, STAGES, rested_on, resting_on
from distspc.study.file import STAGES as NAMES
from distspc.study.images import StudyImages
from tests.pipeline.stages.shared import study_of


def test_stages_are_in_the_order_of_the_study_file():
    assert tuple(STAGES) == NAMES
    assert [stage.name for stage in STAGES.values()] == list(NAMES)


def test_what_rests_on_what():
    assert ON_CLUSTER == ("extract", "distances", "reconstruct", "measures", "readout")
    assert [stage.name for stage in resting_on(["extract"])] == list(NAMES)
    assert [stage.name for stage in resting_on(["distances"])] == ["distances", "relate", "report"]
    assert [stage.name for stage in resting_on(["report"])] == ["report"]
    assert rested_on(["distances"]) == {"extract", "distances"}
    assert all(stage.rests_on[-1] == name for name, stage in STAGES.items())


def test_a_stage_redone_takes_what_rests_on_it_along():
    made = {name: [group for stage in resting_on([name]) for group in stage.makes] for name in NAMES}
    related = list(STAGES["relate"].makes)
    assert related[:4] == ["relations", "models", "comparisons", "scores"]
    assert {"readout", "predicted"} <= set(related)
    assert made["extract"] == [
        *(
            "images",
            "skipped",
            "listing",
            "activations",
            "scaling",
            "distances",
            "reconstruction",
            "measures",
            "references",
            "gram",
        ),
        *related,
    ]
    assert made["distances"] == ["distances", *related]
    assert made["reconstruct"] == ["reconstruction", *related]
    assert made["measures"] == ["measures", "references", *related]
    assert made["readout"] == ["gram", *related]
    assert made["relate"] == related
    assert made["report"] == []


@pytest.mark.parametrize(
    ("name", "changed", "difference"),
    [
        ("distances", {"distinctiveness": {"metric": "cosine"}}, 'metric was "euclidean", now "cosine"'),
        ("reconstruct", {"reconstruction": {"units": 5, "codewords": 4}}, "n_units was 6, now 5"),
    ],
)
def test_a_stage_compares_what_the_store_holds_of_it_with_the_study(tmp_path, name, changed, difference):
    study = study_of(tmp_path)
    stage = STAGES[name]
    assert not list(stage.comparisons(study, StudyImages(study)))
    study.run(stages=[name])
    for _, check in stage.comparisons(study, StudyImages(study)):
        check()
    other = study_of(tmp_path / "o", **changed).model_copy(update={"store": study.store})
    ((layer, check),) = stage.comparisons(other, StudyImages(other))
    assert layer == ""
    with pytest.raises(StoreMismatchError, match=re.escape(difference)):
        check()
