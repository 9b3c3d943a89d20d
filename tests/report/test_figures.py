"""Figures: drawn without touching anybody's settings, labelled, readable in grey."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np

from distspc.report import figures, style
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
    assert "n = 120" in figure.get_suptitle()
    assert "n = 2,222" in DRAW["reliability"]().axes[0].get_title(loc="left")


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
