"""The page: every image beside its neighbours, marked in the study's distributions."""

import re

import numpy as np
import pytest

from distspc.pipeline.score import score_images
from distspc.scoring.page import Histogram, write_page
from tests.scoring.shared import files_of, study_of_files


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    study = study_of_files(tmp_path_factory.mktemp("page"), distinctiveness={"neighbours": 2})
    study.run(stages=["distances", "reconstruct"])
    return score_images(study, files_of(study, ["targets/1", "targets/2", "fillers/3"]))


def page_of(scored, path, **options):
    write_page(scored.table, scored.reference, path / "p.html", title="New & <old>", notices=scored.notices, **options)
    return (path / "p.html").read_text()


def test_every_image_is_beside_its_neighbours_and_in_the_distributions(scored, tmp_path):
    page = page_of(scored, tmp_path, skipped=[("/bad.png", "is empty")])
    assert "New &amp; &lt;old&gt;" in page
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["copy0", "copy1", "copy2"]
    for row in scored.table.itertuples():
        assert row.neighbour in page
        assert f">{row.distinctiveness_percentile:.0f}</td>" in page
    assert page.count("data:image/jpeg") == 3 + 2 * len(scored.table)
    histograms, marks = set(re.findall(r'<path id="([^"]*)"', page)), re.findall(r'<use href="#([^"]*)"', page)
    assert histograms == set(marks)
    assert len(histograms) == 4
    assert len(marks) == len(re.findall("<line", page)) == 2 * len(scored.table)
    assert "in the study: targets/1" in page
    assert "Skipped: /bad.png: is empty" in page
    assert "3 of 3 images are in the study already" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_more_images_than_fit_are_counted(scored, tmp_path):
    page = page_of(scored, tmp_path, most=1)
    assert page.count("<h2>") == 1
    assert "2 more images are in the table alone" in page


def test_a_value_stands_where_it_is_between_the_ends():
    histogram = Histogram("h", "", 2.0, 6.0)
    np.testing.assert_allclose([histogram.place(value) for value in (2, 3, 6)], [0, 40, 160])
