"""Tests of `distspc.results.plot.upper_marks`."""

import numpy as np
from matplotlib.figure import Figure

from distspc.results.plot.figures import correlation_by_layer
from distspc.results.plot.upper_marks import draw_upper_marks
from tests.report.shared import ALL_LAYERS, readouts, relations


def test_marks_are_drawn_at_their_layers_where_something_is_predicted():
    axes = Figure().subplots()
    draw_upper_marks(axes, readouts(), "hit", ALL_LAYERS)
    bars = {tuple(np.round(line.get_xdata(), 9).tolist()): line.get_ydata()[0] for line in axes.lines[:2]}
    assert bars == {(0.64, 1.36): 0.5, (1.64, 2.36): 0.4}
    assert {line.get_label(): line.get_ydata()[0] for line in axes.lines[2:]} == {"all measures": 0.35, "resmem": 0.6}
    assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in axes.lines[1:]}) == 3
    draw_upper_marks(axes, readouts(), "fa", ALL_LAYERS)
    assert len(axes.lines) == 4


def test_the_figure_by_layer_has_them_beside_the_measures():
    figure = correlation_by_layer(relations(), "hit", readout=readouts())
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"linear readout", "all measures", "resmem", "distinctiveness"} <= set(labels)
    without = correlation_by_layer(relations(), "hit")
    assert "linear readout" not in [text.get_text() for text in without.legends[0].get_texts()]
