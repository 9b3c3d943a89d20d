"""The sections of the report: only those with something to show, each figure with a caption and a file."""

import pandas as pd
import pytest

from distspc.report.page import _read, write_report
from distspc.report.sections import compare_measures, make_galleries, make_headlines, make_sections
from distspc.results.measures import HEADLINE
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


def test_several_networks_have_scatters_galleries_and_columns_of_their_own(tmp_path):
    path = make_study(tmp_path, layers=["block5_pool@vgg", "fc2@vgg", "/a/b@clip"])
    page = write_report(path, tmp_path / "report.html").read_text()
    found = {file.stem for file in (tmp_path / "figures").glob("*.png")}
    assert {f"scatter_{name}_corrected_hit_{model}" for name in HEADLINE for model in ("vgg", "clip")} <= found
    assert {"most_distinctive_vgg", "most_distinctive_clip", "measures", "correlation_corrected_hit"} <= found
    assert "<th>model</th><th>layer</th>" in page
    assert '<td>clip</td><td data-value="2">/a/b</td>' in page
    assert "<b>2</b> networks" in page
    assert "Networks: vgg, clip." in page
    assert "By network, the largest correlation of distinctiveness with corrected_hit is " in page
    assert "Activations of clip" in page
    relations = pd.read_csv(tmp_path / "tables/relations.csv")
    assert list(relations.columns[:2]) == ["model", "layer"]
    paper = relations[(relations["given"] == "distinctiveness:block5_pool@vgg") & (relations["layer"] == "fc2")]
    assert set(paper["measure"]) == {"reconstruction_error"}
    models = pd.read_csv(tmp_path / "tables/models.csv").query("score == 'fa'").fillna("")
    assert dict(zip(models["layer"] + "@" + models["model"], models["n_measures"], strict=True)) == {
        "block5_pool@vgg": 3, "fc2@vgg": 3, "/a/b@clip": 3, "all@vgg": 6, "all@clip": 3, "all@": 9,
    }  # fmt: skip


def test_measures_of_many_layers_are_correlated_network_by_network(tmp_path):
    layers = [f"l{i}@{model}" for model in ("a", "b") for i in range(6)]
    path = make_study(tmp_path, pictures=False, scores=False, layers=layers)
    write_report(path, tmp_path / "report.html")
    found = {file.stem for file in (tmp_path / "figures").glob("measures*.png")}
    assert found == {"measures_a", "measures_b"}
