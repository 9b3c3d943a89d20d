"""What is drawn on axes: rows, ticks and titles."""

import numpy as np
from matplotlib.figure import Figure

from distspc.results.plot import axes as drawing
from tests.report.shared import READOUTS, readouts, relations, tidy, wide


def test_correlations_are_at_their_layers_beside_their_upper_marks():
    ax = Figure().subplots()
    drawing.draw_correlations(ax, relations(), "hit", layers=["fc2", "block1_pool"], readout=readouts(READOUTS))
    bars = {one.get_label(): one.lines[0] for one in ax.containers}
    assert sorted(np.round(bars["reconstruction error"].get_xdata()).tolist()) == [0, 1]
    assert dict(zip(np.round(bars["L2 norm"].get_xdata()), bars["L2 norm"].get_ydata(), strict=True)) == {
        0: -0.2,
        1: 0.1,
    }
    assert "linear readout" in ax.get_legend_handles_labels()[1]


def test_nothing_to_draw_is_no_error():
    ax = Figure().subplots()
    drawing.draw_correlations(ax, relations().iloc[:0], "hit")
    drawing.draw_agreement(ax, {}, n_seeds=0, n=0)
    drawing.draw_training(ax, {})
    drawing.draw_distributions(ax, tidy().iloc[:0], "distinctiveness")
    drawing.draw_gallery(ax, [], title="none")


def test_the_matrix_has_a_number_in_each_cell():
    ax = Figure().subplots()
    drawing.draw_matrix(ax, wide())
    texts = [text.get_text() for text in ax.texts]
    assert len(texts) == 36
    assert texts[0] == "1"


def test_a_logarithmic_axis_has_plain_numbers():
    figure = Figure()
    ax = figure.subplots()
    drawing.draw_training(ax, {"fc2": np.geomspace(0.1, 0.02, 30)[None]})
    figure.canvas.draw()
    assert {"0.02", "0.05", "0.1"} <= {text.get_text() for text in ax.get_yticklabels()}
