import pytest

from distspc.selection.page import sentences, summary_rows, summary_table, write_page
from tests.selection.shared import BY


def test_the_page_holds_all_it_shows(selection, tmp_path):
    write_page(selection, tmp_path / "page.html", title="A <set>")
    page = (tmp_path / "page.html").read_text()
    assert "A &lt;set&gt;" in page
    assert page.count('src="data:image/jpeg') == 24
    assert page.count('src="data:image/png') == 1 + 3
    assert 'src="http' not in page
    for cell in selection.cells:
        assert f"{cell} (6)" in page


def test_sentences_tell_the_correlation_before_and_after(selection):
    first = sentences(selection)[0]
    assert f"{BY[0]} and {BY[1]} correlate at" in first
    assert any("of the best possible" in sentence for sentence in sentences(selection))


def test_summary_has_the_worst_of_the_comparisons(selection):
    row = next(row for row in summary_rows(selection) if row["variable"] == "norm:fc2")
    compared = selection.balance[selection.balance["variable"] == "norm:fc2"]
    assert row["smd"] == pytest.approx(compared["smd"].abs().max())
    assert 1 <= row["ratio"] <= 1.25
    assert row["cells"][0][0] == pytest.approx(selection.stimuli["norm:fc2"].iloc[:6].mean())
    assert summary_table(selection)["variable"].tolist() == [*BY, "norm:fc2"]
