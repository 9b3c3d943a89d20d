"""The page: what it says, that it stands alone, and how it looks in a browser."""

import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.memorability.relations import relate
from distspc.report.page import write_report
from distspc.results import stored_tables
from distspc.store.store import Store
from distspc.testing import stores
from tests.report.shared import N_TARGETS, make_study


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return write_report(make_study(folder, weights="random:he-uniform:0"), folder / "out" / "report.html")


def text_of(page):
    return re.sub(
        r"\s+",
        " ",
        re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style).*?</\1>", "", page.read_text("utf-8"), flags=re.S)),
    )


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.links, self.open, self.unbalanced = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.sources += [attributes["src"]] if "src" in attributes else []
        self.links += [attributes["href"]] if tag in ("a", "link") else []
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)


def test_the_page_loads_nothing_from_elsewhere(page):
    links = Links()
    links.feed(page.read_text("utf-8"))
    assert links.sources
    assert all(source.startswith("data:image/") for source in links.sources)
    outside = [link for link in links.links if link.startswith("http")]
    assert outside == ["https://doi.org/10.1038/s41562-024-01870-3"]
    assert not links.unbalanced
    assert not links.open


def test_its_links_lead_to_files_beside_it(page):
    links = Links()
    links.feed(page.read_text("utf-8"))
    files = [link for link in links.links if not link.startswith(("http", "#", "data:"))]
    assert {
        "tables/measures.csv",
        "tables/relations.csv",
        "figures/correlation_corrected_hit.svg",
        "figures/most_distinctive.png",
    } <= set(files)
    assert all((page.parent / link).stat().st_size for link in files)
    inside = [link[1:] for link in links.links if link.startswith("#")]
    assert all(f'id="{name}"' in page.read_text("utf-8") for name in inside)


def test_the_page_is_light(page):
    assert page.stat().st_size < 1_500_000


def test_the_page_says_what_came_out_and_how(page):
    text = text_of(page)
    for wanted in (
        "24 targets", "6 fillers", "2 layers", "2 seeds", "2 scores", "Relation to corrected_hit", "Relation to fa",
        "Reconstruction error correlates with corrected_hit", "Galleries", "Most distinctive (block5_pool)",
        "Hardest to reconstruct (fc2)", "How to cite", "Lin, Q.", "weights random:he-uniform:0", "tensorflow",
        "random state 0", "protocol paper", "Williams",
    ):  # fmt: skip
        assert wanted in text, wanted


def test_random_weights_are_said_first(page, tmp_path):
    assert "Random weights: these are not trained." in text_of(page)
    trained = write_report(make_study(tmp_path, pictures=False, scores=False), tmp_path / "report.html")
    assert "not trained" not in text_of(trained)
    assert "This study has no scores" in text_of(trained)
    assert "The image files were not found" in text_of(trained)


def test_what_went_wrong_is_said(tmp_path):
    store = make_study(tmp_path, pictures=False, scores=False)
    Store(store).distances.write("distance", np.zeros((2, 1, 1)) + np.arange(24)[None, :, None])
    nan = np.full((1, 2, 30), np.nan)
    Store(store).reconstruction.write("error", nan[:, :1], layer=slice(0, 1), seed=slice(0, 1))
    Store(store).reconstruction.write("error", nan[:, :1], layer=slice(0, 1), seed=slice(1, 2))
    flags = np.array([[[True] * 17 + [False] * 3]])
    Store(store).reconstruction.write("converged", flags, layer=slice(1, 2), seed=slice(0, 1))
    skipped = pd.DataFrame({"file": ["/a/<b>.jpg"], "role": ["target"], "reason": ["cut short"], "number": [25]})
    stored_tables.write_table(Store(store).skipped, skipped, recipe={})
    lines = "\n".join(f"{i},{i / 100}" for i in range(3, 30))
    (tmp_path / "scores.csv").write_text(f"im,hit\n{lines}\n")
    relate(store, scores_file=tmp_path / "scores.csv", image_column="im", n_bootstrap=20)
    page = write_report(store, tmp_path / "report.html")
    text = text_of(page)
    for wanted in (
        "1 of 31 image files could not be used", "1 target has an identical image", "targets/1 = ",
        "reconstruction error is missing for 24 targets at block5_pool", "training batches",
        "2 targets have no score: targets/1, targets/2.", "5 rows of scores name no target: 25, 26, 27, 28, 29.",
        "cut short",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "/a/&lt;b&gt;.jpg" in page.read_text("utf-8")


def test_only_requested_layers_are_reported(tmp_path):
    store = make_study(tmp_path, pictures=False, scores=False)
    page = write_report(store, tmp_path / "report.html", layers=["fc2"], title="One <layer>")
    assert "One &lt;layer&gt;" in page.read_text("utf-8")
    assert "1 layer" in text_of(page)
    known = re.findall(r"<td[^>]*>(block5_pool|fc\d)</td>", page.read_text("utf-8"))
    assert set(known) == {"fc2"}


def test_a_report_of_nothing_yet(tmp_path):
    with pytest.raises(InputError, match="holds no images yet"):
        write_report(tmp_path / "none.zarr", tmp_path / "report.html")
    ids = stores.image_ids(3, 1)
    stores.write_image_table(tmp_path / "study.zarr", ids, 3)
    assert "Nothing is measured yet" in text_of(write_report(tmp_path / "study.zarr", tmp_path / "report.html"))


def test_a_report_of_rank_correlations_alone(tmp_path):
    store = make_study(tmp_path, pictures=False)
    relate(store, scores_file=tmp_path / "scores.csv", image_column="im", n_bootstrap=10, methods=["spearman"])
    page = write_report(store, tmp_path / "out" / "report.html")
    assert "Relation to fa" in page.read_text("utf-8")
    assert not list((page.parent / "figures").glob("correlation_*.png"))


QUESTION = "How well would you remember this picture if you saw it for a second only? " * 4


NAMES = ["rt [ms]", "rt [z]", "x[/b]y", "RT<500", "RT>500", "rt<500", "../up", QUESTION[:262], "a<script>&amp;"]


def test_names_of_scores_are_shown_whole_each_with_its_own_figures(tmp_path):
    store = make_study(tmp_path, pictures=False, scores=False)
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"im": range(1, N_TARGETS + 1)}).assign(**{name: rng.random(N_TARGETS) for name in NAMES})
    table.to_csv(tmp_path / "scores.csv", index=False)
    relate(store, scores_file=tmp_path / "scores.csv", image_column="im", n_bootstrap=10)
    page = write_report(store, tmp_path / "out" / "report.html")
    content = page.read_text("utf-8")
    assert all(f"Relation to {html.escape(name, quote=False)}<" in content for name in NAMES)
    assert "<script>&amp;" not in content
    for kind in ("correlation", "scatter_distinctiveness", "scatter_reconstruction_error"):
        files = list((page.parent / "figures").glob(f"{kind}_*.png"))
        assert len({file.name.casefold() for file in files}) == len(NAMES)
        assert all(len(file.name) < 130 for file in files)
    assert not list(tmp_path.glob("**/up*"))


def test_distances_alone_make_a_report(tmp_path):
    store = make_study(tmp_path, pictures=False, scores=False)
    Store(store).reconstruction.remove()
    text = text_of(write_report(store, tmp_path / "report.html"))
    assert "Sparse coding" not in text
    assert "Hardest" not in text


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(page, open_page, width):
    driver = open_page(page.as_uri(), width=width)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    broken = "return [...document.images].filter((i) => !i.complete || !i.naturalWidth || !i.clientWidth).length"
    assert driver.execute_script("return document.images.length") > 10
    assert driver.execute_script(broken) == 0
    assert driver.get_log("browser") == []


@pytest.mark.browser
def test_tables_are_sorted_by_their_headings(page, open_page):
    driver = open_page(page.as_uri())
    column = """
        const table = document.querySelector("table.matrix"), cells = [...table.tHead.rows[0].cells];
        cells[2].querySelector("button").click();
        const values = [...table.tBodies[0].rows].map((row) => Number(row.cells[2].dataset.value));
        return [cells[2].getAttribute("aria-sort"), ...values];
    """
    first, *values = driver.execute_script(column)
    assert first == "ascending"
    assert values == sorted(values)
    second, *values = driver.execute_script(column)
    assert second == "descending"
    assert values == sorted(values, reverse=True)
    assert driver.get_log("browser") == []


@pytest.mark.browser
def test_the_printed_page_unfolds(page, open_page):
    driver = open_page(page.as_uri())
    assert driver.execute_script("return document.querySelectorAll('details:not([open])').length") > 0
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert driver.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(json.dumps(printed)) > 100_000
