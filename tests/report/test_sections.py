"""The sections of the report: only those with something to show, each figure with a caption and a file."""

import pytest

from distspc.report.page import _read
from distspc.report.sections import compare_measures, make_galleries, make_headlines, make_sections
from distspc.store.store import Store
from tests.report.shared import make_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sections")
    return _read(Store(make_study(folder)), None, None, with_scores=True)


def test_every_score_has_a_section_and_every_figure_a_caption(study, tmp_path):
    sections = make_sections(study, tmp_path / "figures")
    titles = [section.title for section in sections]
    assert sum(title.startswith("Relation to ") for title in titles) == len(study.scores) == 2
    plots = [plot for section in sections for plot in section.plots]
    assert all(plot.caption and plot.source for plot in plots)
    assert all((tmp_path / "figures" / file.split("/")[-1]).is_file() for plot in plots for file in plot.files)


def test_headlines_are_about_one_score(study):
    headlines = make_headlines(study)
    assert 1 <= len(headlines) <= 8
    assert all(text.endswith((".", ")")) for text in headlines)
    assert "corrected_hit" in " ".join(headlines)


def test_a_study_without_scores_compares_its_measures(tmp_path):
    bare = _read(Store(make_study(tmp_path, scores=False)), None, None, with_scores=False)
    assert bare.scores == []
    assert make_headlines(bare)
    assert not any(s.title.startswith("Relation to ") for s in make_sections(bare, tmp_path / "figures"))


def test_side_by_side_rows_are_complete(study):
    rows = compare_measures(study)
    assert [layer for layer, measure, _ in rows if measure == "distinctiveness"] == study.layers
    assert all(len(of_scores) == len(study.scores) for _, _, of_scores in rows)
    first = rows[0][2][0]
    assert (first.layer, first.measure, first.score) == (*rows[0][:2], study.scores[0])


def test_galleries_show_images_that_are_there(study, tmp_path):
    galleries = make_galleries(study, tmp_path / "figures")
    assert galleries
    assert all(gallery.rows for gallery in galleries)
