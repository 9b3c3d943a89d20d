"""Cards of a study, its status and its results: escaped, without a network, never in the way."""

import json
import shutil

import pytest

import distspc
from distspc.pipeline.run import Study
from distspc.results.card import Card, Done, card_of, study_name
from distspc.store.store import Store
from distspc.testing.stores import image_ids, write_image_table
from tests.pipeline.imported_study import content, write_activations
from tests.report.shared import make_study as make_finished


def everything(folder):
    """All files below a folder with their times."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_card_is_escaped_and_loads_nothing():
    card = Card("<b>", [("a & b", "<script>")], "table", ["x", "done"], [["<i>", Done(1, 4)]], ["note <u>"])
    html = card.html()
    for bad in ("<b>", "<script>", "<i>", "<u>", "http:", "https:", "url(", "@import", "src="):
        assert bad not in html.replace('<i style="width: 25%"></i>', "")
    assert "a &amp; b" in html
    assert "width: 25%" in html
    assert card.text().splitlines() == ["<b>", "  a & b: <script>", "  x    done", "  <i>  1 of 4", "  note <u>"]


def test_colours_are_those_of_the_page():
    html = Card("x", [("a", "b")], "t", ["h"], [["c"]]).html()
    assert "color: inherit" in html
    assert "#fff" not in html
    assert "#000" not in html


def test_what_cannot_be_read_is_said():
    def broken():
        raise OSError("no such <disk>")

    card = card_of("Study x", broken)
    assert card.text() == "Study x\n  cannot be read: OSError: no such <disk>"
    assert "&lt;disk&gt;" in card.html()
    assert Done(0, 0).percent == 0


def test_a_study_is_called_by_its_folder_where_its_store_has_no_name(tmp_path):
    assert study_name(tmp_path / "study.zarr") == tmp_path.name
    assert study_name(tmp_path / "mine.zarr") == "mine"


def test_a_study_that_is_not_begun_half_done_or_done(tmp_path):
    write_activations(tmp_path)
    (tmp_path / "study.yaml").write_text(json.dumps(content()))
    study = Study.from_file(tmp_path / "study.yaml")
    before = everything(tmp_path)
    assert "to be made" in repr(study)
    assert "to be made" in str(study)
    assert "distances" in study._repr_html_()
    assert everything(tmp_path) == before
    study.run(stages=("extract", "distances"))
    before = everything(tmp_path)
    html = study._repr_html_()
    assert "width: 100%" in html
    assert "width: 0%" in html
    assert "to be made" not in html
    statuses = study.status()
    assert statuses == list(statuses)
    assert "reconstruct" in statuses._repr_html_()
    assert "extract" in repr(statuses)
    assert study.results()._repr_html_()
    assert everything(tmp_path) == before


@pytest.mark.parametrize("harm", [
    lambda store: shutil.rmtree(store),
    lambda store: (store / "zarr.json").write_text("{"),
    lambda store: (store / "images/zarr.json").write_text("no json"),
    lambda store: shutil.rmtree(store / "images/role"),
    lambda store: shutil.rmtree(store / "distances"),
    lambda store: [path.write_bytes(b"x") for path in (store / "relations").rglob("c/*") if path.is_file()],
])  # fmt: skip
def test_faulty_files_raise_nothing(tmp_path, harm):
    store = make_finished(tmp_path, pictures=False)
    results = distspc.open_results(store)
    assert "corrected_hit" in results._repr_html_()
    write_activations(tmp_path)
    (tmp_path / "study.yaml").write_text(json.dumps(content(store=str(store))))
    study = Study.from_file(tmp_path / "study.yaml")
    harm(store)
    assert "distspc-card" in results._repr_html_()
    assert "distspc-card" in study._repr_html_()
    assert repr(results).startswith("Results of")
    assert repr(study).startswith("Study ")


def test_results_show_the_correlations_of_the_table_and_a_part_shows_itself(tmp_path):
    store = make_finished(tmp_path, pictures=False)
    results = distspc.open_results(store)
    row = results.table("relations").query("measure == 'reconstruction_error' and given == '' and method == 'pearson'")
    r = f"{row.iloc[0]['r']:.2f}".replace("0.", ".").replace("-", "−")
    assert r in repr(results)
    assert r in results._repr_html_()
    assert "all groups and variables" in results._repr_html_()
    assert "Pearson correlations" not in results["distances"]._repr_html_()
    assert "Pearson correlations" not in repr(results["distances"])


def test_results_of_a_store_with_nothing_but_images(tmp_path):
    write_image_table(tmp_path / "s.zarr", image_ids(3, 1), 3)
    results = distspc.open_results(Store(tmp_path / "s.zarr").path)
    assert "none measured yet" in repr(results)
    assert "3, 1" in results._repr_html_()


def test_a_notebook_shows_the_cards_and_the_figures(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    store = make_finished(tmp_path, pictures=False)
    code = ["import distspc", f"results = distspc.open_results({str(store)!r})", "results", "results.plot.scatter();"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(line) for line in code])
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    shown, drawn = book.cells[2].outputs, book.cells[3].outputs
    assert "distspc-card" in shown[0]["data"]["text/html"]
    assert [one for one in drawn if "image/png" in one.get("data", {})]
