"""Figures: drawn without touching anybody's settings, labelled, readable in grey."""

import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from PIL import Image

from distspc.report import figures, style

LAYERS = ["block1_pool", "block5_pool", "fc2"]


def relations():
    rows = [
        {"layer": layer, "measure": measure, "score": "hit", "given": "", "method": "pearson", "n": n, "r": r,
         "ci_low": r - 0.1, "ci_high": r + 0.1}
        for n, (layer, r) in enumerate(zip(LAYERS, (0.1, 0.3, -0.2), strict=True), start=2220)
        for measure in ("distinctiveness", "reconstruction_error", "norm")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def tidy(n=40):
    rng = np.random.default_rng(0)
    parts = [pd.DataFrame({"image": [f"targets/{i}" for i in range(n)], "layer": layer}) for layer in LAYERS]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(
        distinctiveness=rng.exponential(size=len(table)),
        reconstruction_error=rng.random(len(table)),
        hit=rng.random(len(table)),
    )


def wide(n=30):
    names = [f"{measure}:{layer}" for layer in LAYERS for measure in ("distinctiveness", "norm")]
    return pd.DataFrame(np.random.default_rng(0).normal(size=(n, len(names))), columns=names)


PIXELS = np.zeros((8, 8, 3), np.uint8)
DRAW = {
    "correlation": lambda: figures.correlation_by_layer(relations(), "hit"),
    "scatter": lambda: figures.scatter(tidy(), "distinctiveness", "hit", layer="fc2", note="r = .3"),
    "matrix": lambda: figures.measure_matrix(wide()),
    "reliability": lambda: figures.reliability_over_seeds({"fc2": [0.9, 0.95, 0.93]}, n_seeds=3, n=2222),
    "training": lambda: figures.training_curves({"fc2": 1 / np.arange(1, 41).reshape(2, 20), "fc1": np.ones((2, 20))}),
    "distribution": lambda: figures.distributions(tidy(), "distinctiveness"),
    "gallery": lambda: figures.gallery(
        [[figures.GalleryImage(PIXELS, "1"), figures.GalleryImage(None, "2")]], title="ends"
    ),
}


@pytest.mark.parametrize("name", DRAW)
def test_every_figure_becomes_png_and_svg(name, tmp_path):
    png, svg = style.save_figure(DRAW[name](), tmp_path / "new", name)
    with Image.open(png) as image:
        assert image.width >= 1000
        assert np.asarray(image.convert("L")).std() > 5  # something is drawn
    root = ET.parse(svg).getroot()
    assert root.tag.endswith("svg")
    assert "<dc:date>" not in svg.read_text()


def test_the_same_figure_is_the_same_file(tmp_path):
    first = [path.read_bytes() for path in style.save_figure(DRAW["correlation"](), tmp_path / "a", "x")]
    assert first == [path.read_bytes() for path in style.save_figure(DRAW["correlation"](), tmp_path / "b", "x")]


def test_nobodys_settings_are_touched_or_used():
    before = dict(mpl.rcParams)
    plain = DRAW["correlation"]().axes[0].get_title(loc="left")
    with mpl.rc_context({"font.size": 30, "axes.titlelocation": "right"}):
        figure = DRAW["correlation"]()
    assert figure.axes[0].yaxis.label.get_size() == 10
    assert figure.axes[0].get_title(loc="left") == plain
    assert dict(mpl.rcParams) == before


def test_labels_have_units_and_n():
    axes = DRAW["correlation"]().axes[0]
    assert axes.get_ylabel() == "Pearson r"
    assert axes.get_title(loc="left") == "correlation with hit, 95 % interval, n = 2,220 to 2,222"
    figure = DRAW["scatter"]()
    assert "activation" in figure.axes[0].get_xlabel()
    assert "n = 120" in figure.get_suptitle()
    assert "n = 2,222" in DRAW["reliability"]().axes[0].get_title(loc="left")


def test_measures_differ_by_more_than_colour():
    looks = list(style.STYLES.values())
    assert len({look.marker for look in looks}) == len({str(look.dash) for look in looks}) == len(looks)
    assert len({colors.to_hex(look.color) for look in looks}) == len(looks)


def test_missing_scores_are_left_out_of_a_scatter():
    table = tidy()
    table.loc[:9, "hit"] = np.nan
    assert "n = 110" in figures.scatter(table, "distinctiveness", "hit").get_suptitle()


def test_names_are_taken_as_they_are(tmp_path):
    odd = relations().assign(score="a_$x^{")
    style.save_figure(figures.correlation_by_layer(odd, "a_$x^{"), tmp_path, "odd")
    style.save_figure(
        figures.scatter(tidy().rename(columns={"hit": "$\\frac$"}), "distinctiveness", "$\\frac$"), tmp_path, "x"
    )


def test_a_long_name_is_broken_into_lines(tmp_path):
    question = "How well would you remember this? " * 8
    style.save_figure(figures.correlation_by_layer(relations().assign(score=question), question), tmp_path, "long")
    drawn = figures.scatter(tidy().rename(columns={"hit": question}), "distinctiveness", question)
    style.save_figure(drawn, tmp_path, "x")
    label = drawn.axes[0].get_ylabel()
    assert label.split() == question.split()
    assert max(map(len, label.split("\n"))) <= 62


def test_importing_the_package_loads_no_matplotlib():
    code = "import sys, distspc; sys.exit('matplotlib' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys, distspc.report.page; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
