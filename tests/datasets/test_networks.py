"""The network of a new study: layers that the weights have, and how many features the smallest has."""

import math

import pytest

from distspc.datasets.networks import network_settings
from distspc.datasets.new_study import settings_text
from distspc.errors import InputError
from distspc.extraction.options import BUILTIN_WEIGHTS
from distspc.layers import LAYERS, vgg16_shape


def test_vgg16_has_the_seven_layers_of_the_paper():
    network, least = network_settings("random")
    assert network == {"model": {"weights": "random"}, "layers": list(LAYERS)}
    assert least == min(math.prod(vgg16_shape(layer, 0)) for layer in LAYERS) == 4096


@pytest.mark.parametrize("weights", BUILTIN_WEIGHTS)
def test_the_words_for_weights_stand_in_the_commented_text(weights):
    lines = settings_text(weights).splitlines()
    assert lines[1].split("#")[0].strip() == f"weights: {weights}"
    assert "layers: [" + ", ".join(LAYERS) + "]" in lines


def test_weights_that_are_not_there_are_refused():
    with pytest.raises(InputError, match=r"none\.h5"):
        network_settings("none.h5")
