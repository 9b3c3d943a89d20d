"""Figures: drawn without touching anybody's settings, labelled, readable in grey."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd

from distspc.results.measures import FIRST_COLUMNS, MODEL_MEASURES
from distspc.results.plot import figures, style
from tests.report.shared import DRAW, relations, tidy


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
    assert axes.get_title(loc="left") == "correlation with hit, 95 % CI, n = 2,220 to 2,222"
    figure = DRAW["scatter"]()
    assert "activation" in figure.axes[0].get_xlabel()
    assert "n = 120" in figure.axes[0].get_title(loc="left")
    assert "n = 2,222" in DRAW["reliability"]().axes[0].get_title(loc="left")


def further():
    """Relations with a further measure by layer, and one of the image itself."""
    table = relations()
    norm = table[table["measure"] == "norm"]
    return pd.concat([table, norm.assign(measure="typicality"), norm.iloc[:1].assign(measure="edge_share", layer="")])


def test_the_measures_of_the_figure_by_layer_are_chosen():
    axes = figures.correlation_by_layer(further(), "hit").axes[0]
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["distinctiveness", "reconstruction error", "L2 norm", "typicality"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["block1\npool", "block5\npool", "fc2"]
    axes = figures.correlation_by_layer(further(), "hit", measures=["edge_share", "typicality", "hoyer"]).axes[0]
    assert sorted(axes.get_legend_handles_labels()[1]) == ["share of edges", "typicality"]
    level = next(line for line in axes.lines if line.get_label() == "share of edges")
    assert len(set(level.get_ydata())) == 1


def test_measures_that_stand_in_one_figure_differ_in_colour():
    shown = [*MODEL_MEASURES, *FIRST_COLUMNS]
    assert len({style.style_of(name).color for name in shown}) == len(shown)
    assert style.axis_label("jpeg_nbytes") == "size as a JPEG (byte)"
    assert style.axis_label("hoyer") == "Hoyer sparseness"


def test_missing_scores_are_left_out_of_a_scatter():
    table = tidy()
    table.loc[:9, "hit"] = np.nan
    assert "n = 110" in figures.scatter(table, "distinctiveness", "hit").axes[0].get_title(loc="left")


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


SEVERAL = {"block1_pool": "block1_pool@vgg", "block5_pool": "fc2@vgg", "fc2": "/a/b@clip"}


def test_networks_are_side_by_side_and_their_layers_go_by_depth():
    several = relations().replace({"layer": SEVERAL})
    figure = figures.correlation_by_layer(several[::-1], "hit")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["clip", "vgg"]
    ticks = [[text.get_text() for text in axes.get_xticklabels()] for axes in figure.axes]
    assert ticks == [["/a/b"], ["block1_pool", "fc2"]]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert "n = 2,220 to 2,222" in figure.get_suptitle()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "distinctiveness", "reconstruction error", "L2 norm",
    ]  # fmt: skip


def test_other_figures_tell_networks_apart_too():
    pairs = {label: [0.9] for label in SEVERAL.values()}
    agreement = figures.reliability_over_seeds(pairs, n_seeds=2, n=5)
    assert [axes.get_title(loc="left") for axes in agreement.axes] == ["vgg", "clip"]
    training = figures.training_curves({label: np.ones((1, 4)) for label in SEVERAL.values()})
    assert [text.get_text() for text in training.axes[0].get_legend().get_texts()] == ["block1_pool", "fc2"]
    spread = figures.distributions(tidy().replace({"layer": SEVERAL}), "distinctiveness")
    assert [axes.get_ylabel() for axes in spread.axes[0].child_axes] == ["block1_pool\nvgg", "fc2\nvgg", "/a/b\nclip"]


def test_more_networks_than_fit_beside_one_another_go_into_rows():
    pairs = {f"fc2@net{i}": [0.9] for i in range(4)}
    figure = figures.reliability_over_seeds(pairs, n_seeds=2, n=5)
    rows = [axes.get_subplotspec().rowspan.start for axes in figure.axes if axes.axison]
    assert rows == [0, 0, 0, 1]
