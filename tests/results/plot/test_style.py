"""Tests of: how figures look."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib import colors
from PIL import Image

from distspc.results.plot import figures, style
from tests.report.shared import DRAW, tidy


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


def test_measures_differ_by_more_than_colour():
    looks = list(style.STYLES.values())
    assert len({look.marker for look in looks}) == len({str(look.dash) for look in looks}) == len(looks)
    assert len({colors.to_hex(look.color) for look in looks}) == len(looks)


def test_distances_of_standardised_features_are_in_standard_deviations():
    assert style.axis_label("distinctiveness") == "distance to the nearest neighbour (activation)"
    scaled = style.axis_label("distinctiveness", scaled=True)
    assert scaled == "distance to the nearest neighbour (standard deviations of the features)"
    assert style.axis_label("mine", scaled=True) == "mine"
    figure = figures.distributions(tidy(), "distinctiveness", scaled=True)
    assert figure.axes[-1].get_xlabel() == scaled


def test_ticks_leave_out_what_all_names_of_layers_have_in_common():
    blocks = [f"/backbone/encoder/layer.{i}/Add_1_output_0" for i in (0, 5, 11)]
    assert style.short_layers(blocks) == ["layer.0", "layer.5", "layer.11"]
    assert style.short_layers(["/encoder/layer.0/Add_1_output_0", "/encoder/layer.0/Mul_1_output_0"]) == [
        "Add_1_output_0",
        "Mul_1_output_0",
    ]
    assert style.short_layers(["block5_pool", "fc2"]) == ["block5_pool", "fc2"]
    assert style.short_layers(["/one/and/only/Add_1"]) == ["/one/and/only/Add_1"]
    assert len(set(style.short_layers(["a_long_layer/x", "a_long_layer/x/y"]))) == 2
