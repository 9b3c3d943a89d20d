"""The stage of the report: the page is made again when what it shows has changed."""

import pytest

from distspc.errors import InputError
from distspc.pipeline.stages.report import Report, report_is_current, shown_results
from distspc.study.images import StudyImages
from tests.pipeline.stages.shared import run_of, study_of

STAGE = Report()


def test_a_page_is_current_until_the_store_or_the_study_changes(tmp_path):
    study = study_of(tmp_path, layers=["fc2"])
    assert not report_is_current(study)
    study.run(stages=["distances", "reconstruct", "report"])
    assert report_is_current(study)
    assert STAGE.missing(run_of(study), "") == []
    assert list(STAGE.status(study)) == [("", 1, 1)]
    assert not report_is_current(study.model_copy(update={"layers": ("fc2", "fc1")}))
    study.report.write_text("another page")
    assert STAGE.missing(run_of(study), "") == [None]


def test_without_scores_no_correlations_are_shown(tmp_path):
    study = study_of(tmp_path)
    assert shown_results(study) == {
        **{"layers": study.layers, "seeds": (0, 1), "measures": []},
        "with_scores": False,
    }


def test_a_folder_is_no_page(tmp_path):
    study = study_of(tmp_path, report="page.html")
    (tmp_path / "page.html").mkdir()
    with pytest.raises(InputError, match="is a folder; name a file as `report:`"):
        STAGE.check(study, StudyImages(study), ["report"])
