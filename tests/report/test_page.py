"""The page: what it says, that it stands alone, and how it looks in a browser."""

import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from distspc.errors import InputError
from distspc.memorability import relations
from distspc.report import galleries, numbers, provenance, sentences
from distspc.report.page import write_report
from distspc.results import stored_tables
from distspc.results.tidy import image_table, tidy_table
from distspc.store.store import Store
from distspc.testing import stores

LAYERS = ["block5_pool", "fc2"]
N_TARGETS, N_FILLERS = 24, 6
SPACE = "\N{NO-BREAK SPACE}"


def make_study(folder, *, pictures=True, scores=True, weights="sha256:" + "ab" * 32):
    """A finished study with random measures."""
    ids, path = stores.image_ids(N_TARGETS, N_FILLERS), folder / "study.zarr"
    stores.write_image_table(path, ids, N_TARGETS)
    Store(path).images.write("file", [str(folder / f"{name}.jpg") for name in ids])
    stores.write_measures(path, ids, N_TARGETS, LAYERS, seeds=(0, 1))
    recipe = {"architecture": "vgg16", "weights": weights, "preprocessing": "raw"}
    coords = {"image": ids, "feature": 2}
    Store(path).layer("fc2").allocate(coords=coords, chunks={}, recipe=recipe)
    if pictures:
        rng = np.random.default_rng(0)
        for name in ids:
            (folder / name).parent.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / f"{name}.jpg")
    if scores:
        table = pd.DataFrame({"im": range(1, N_TARGETS + 1)})
        tidy = tidy_table(path)
        strength = tidy.loc[tidy["layer"] == "fc2", "reconstruction_error"].rank(pct=True).to_numpy()
        table["corrected_hit"] = 0.2 + strength / 2
        table["fa"] = np.random.default_rng(1).random(N_TARGETS) / 5
        table.to_csv(folder / "scores.csv", index=False)
        relations.relate(path, scores_file=folder / "scores.csv", image_column="im", n_bootstrap=100)
    return path


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


# ---------------------------------------------------------------- the file


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
    assert "The image files are not at hand" in text_of(trained)


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
    relations.relate(store, scores_file=tmp_path / "scores.csv", image_column="im", n_bootstrap=20)
    page = write_report(store, tmp_path / "report.html")
    text = text_of(page)
    for wanted in (
        "1 of 31 image files could not be used", "1 targets have an exact duplicate", "targets/1 = ",
        "reconstruction error is missing for 24 targets at block5_pool", "training batches",
        "2 targets have no score: targets/1, targets/2.", "5 rows of scores name no target: 25, 26, 27, 28, 29.",
        "cut short",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "/a/&lt;b&gt;.jpg" in page.read_text("utf-8")


def test_only_asked_layers_are_reported(tmp_path):
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


QUESTION = "How well would you remember this picture if you saw it for a second only? " * 4
NAMES = ["rt [ms]", "rt [z]", "x[/b]y", "RT<500", "RT>500", "rt<500", "../up", QUESTION[:262], "a<script>&amp;"]


def test_names_of_scores_are_shown_whole_each_with_its_own_figures(tmp_path):
    store = make_study(tmp_path, pictures=False, scores=False)
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"im": range(1, N_TARGETS + 1)}).assign(**{name: rng.random(N_TARGETS) for name in NAMES})
    table.to_csv(tmp_path / "scores.csv", index=False)
    relations.relate(store, scores_file=tmp_path / "scores.csv", image_column="im", n_bootstrap=10)
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


# ---------------------------------------------------------------- sentences


def relations_of(r, p, *, layers=("fc1", "fc2"), measure="distinctiveness", score="hit", given=""):
    n = len(layers)
    return pd.DataFrame(
        {
            "layer": layers, "measure": [measure] * n, "score": [score] * n, "given": [given] * n,
            "method": ["pearson"] * n, "n": [2222] * n, "r": r, "ci_low": np.array(r) - 0.04,
            "ci_high": np.array(r) + 0.04, "p_holm": p, "n_tests": [14] * n,
        }
    )  # fmt: skip


def plain(sentence):
    return sentence.replace(SPACE, " ")


def test_a_finding_that_holds():
    said = plain(sentences.correlation_sentence(relations_of([0.1, 0.36], [0.2, 0.001]), "hit", "distinctiveness"))
    assert said == (
        "Distinctiveness correlates with hit at 1 of 2 layers after Holm's correction for 14 tests, most strongly at "
        "fc2: r = .36, 95 % interval .32 to .40, n = 2,222. Images farther from their nearest neighbour have larger "
        "values of hit."
    )


def test_a_finding_that_does_not_hold_is_not_one():
    said = plain(sentences.correlation_sentence(relations_of([0.02, -0.03], [1.0, 0.6]), "hit", "distinctiveness"))
    assert said.startswith("Distinctiveness is not reliably related to hit at any of the 2 layers: the largest")
    assert "r = −.03, 95 % interval −.07 to .01" in said
    assert "does not hold after Holm's correction for 14 tests (p = .60)" in said
    said = sentences.correlation_sentence(relations_of([0.3, -0.3], [0.01, 0.01]), "hit", "distinctiveness")
    assert "The sign changes: positive at fc1, negative at fc2." in said
    assert sentences.correlation_sentence(relations_of([0.3, -0.3], [0.01, 0.01]), "fa", "distinctiveness") == ""


def test_partial_findings_within_and_across_layers():
    within = relations_of([0.2, 0.1], [0.01, 0.9], measure="reconstruction_error", given="distinctiveness:fc1")
    said = plain(sentences.partial_sentence(within, "hit", "reconstruction_error", "distinctiveness"))
    assert said == (
        "With distinctiveness of the same layer held constant, reconstruction error correlates with hit at fc1 "
        "(partial r = .20, 95 % interval .16 to .24, n = 2,222)."
    )
    (across,) = sentences.across_sentences(within, "hit")
    assert plain(across) == (
        "With distinctiveness at fc1 held constant, reconstruction error is not reliably related to hit at fc2 "
        "(partial r = .10, 95 % interval .06 to .14, n = 2,222; p = .90 after Holm's correction)."
    )


def test_scores_that_differ_are_named():
    both = pd.concat(
        [relations_of([0.0, 0.02], [1, 0.9]), relations_of([0.01, -0.33], [0.9, 0.001], score="fa")], ignore_index=True
    )
    said = plain(sentences.contrast_sentence(both))
    assert "distinctiveness at fc2 goes with fa (r = −.33" in said
    assert "not reliably with hit (r = .02" in said
    assert sentences.contrast_sentence(relations_of([0.3, 0.3], [0.01, 0.01])) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0.357, ".36"), (-0.04, "−.04"), (-0.001, ".00"), (1.0, "1.00"), (np.nan, "unknown")]
)
def test_correlations_as_text(value, text):
    assert numbers.format_r(value) == text


@pytest.mark.parametrize(
    ("p", "n_bootstrap", "text"),
    [
        (0.0, 1000, "p < .002"),
        (0.0, None, "p < .001"),
        (0.004, 1000, "p = .004"),
        (0.62, 1000, "p = .62"),
        (np.nan, 9, "p unknown"),
    ],
)
def test_p_values_as_text_never_claim_more_than_the_bootstrap_knows(p, n_bootstrap, text):
    assert plain(numbers.p_text(p, n_bootstrap=n_bootstrap)) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.999999, "99.9 %"), (1, "100 %"), (0.5, "50 %"), (0.031, "3.1 %"), (-0.2, "−20 %"), (0.996, "99.6 %")],
)
def test_shares_as_text(share, text):
    assert plain(numbers.percent(share)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(11538.7, "11,539"), (0.0234567, "0.02346"), (-3.0, "−3"), (2e12, "2e+12"), (np.nan, "")]
)
def test_amounts_as_text(value, text):
    assert numbers.format_quantity(value) == text


def test_joint_models_that_predict_nothing_say_so():
    models = pd.DataFrame(
        {"layer": ["fc1", "fc2", "all"], "score": "hit", "r2_cv": [-0.1, -0.02, -0.4], "n_measures": [3, 3, 6]}
    )
    said = plain(sentences.model_sentence(models, "hit"))
    assert said.startswith("No layer's measures together predict hit")
    assert "predict worse than the mean (R² −.40)" in said
    models["r2_cv"] = [0.1, 0.17, 0.19]
    said = plain(sentences.model_sentence(models, "hit"))
    assert said.startswith("Together, the measures of fc2 explain 17 % of the variance of hit")
    assert said.endswith("All 6 measures of all layers explain 19 %.")


def test_comparisons_in_words():
    table = pd.DataFrame(
        {"layer": ["fc1", "fc2"], "score": "hit", "difference": [0.2, -0.1], "williams_p": [0.001, 0.002]}
    )
    assert sentences.comparison_sentence(table, "hit") == (
        "Distinctiveness has the higher correlation with hit at fc1; reconstruction error at fc2 (Williams' t of two "
        "dependent correlations, Holm)."
    )
    assert "do not differ reliably" in sentences.comparison_sentence(table.assign(williams_p=0.4), "hit")


def test_durations_and_recipes_as_text():
    assert provenance.duration(12.4) == "12 s"
    assert provenance.duration(192) == "3 min 12 s"
    assert provenance.duration(7500) == "2 h 5 min"
    assert provenance.flattened({"n_units": 3, "a": {"b-c": [1, 2]}, "none": None}) == {"n units": "3", "a b c": "1, 2"}


# ---------------------------------------------------------------- galleries


def test_galleries_show_the_ends(tmp_path):
    store = make_study(tmp_path, scores=False)
    (tmp_path / "targets" / "1.jpg").unlink()
    (tmp_path / "targets" / "2.jpg").write_bytes(b"no image")
    table = tidy_table(store)
    most, least, hard, easy = galleries.find_extremes(table, image_table(Store(store)))
    part = table[table["layer"] == "block5_pool"].sort_values("distinctiveness")
    assert [target.name for target, _ in most.rows] == list(part["image"][::-1][:6])
    assert [target.name for target, _ in least.rows] == list(part["image"][:6])
    assert [other.name for _, other in least.rows] == list(part["neighbour"][:6])
    assert all(other is None for _, other in [*hard.rows, *easy.rows])
    assert most.has_pictures
    assert galleries.thumbnail(str(tmp_path / "targets" / "1.jpg")) == ""
    assert galleries.thumbnail(str(tmp_path / "targets" / "2.jpg")) == ""
    assert galleries.thumbnail(str(tmp_path / "targets" / "3.jpg")).startswith("data:image/jpeg;base64,")


# ---------------------------------------------------------------- in a browser


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
