"""One rule for what is a path of weights, whatever the case of its ending."""

import pytest

from distspc.extraction.options import WEIGHTS_WORDS, is_weights_path


@pytest.mark.parametrize("weights", ["net.h5", "Net.H5", "a/net", "net.keras", "NET.HDF5", "./imagenet"])
def test_paths(weights):
    assert is_weights_path(weights)


@pytest.mark.parametrize("weights", ["hybrid1365", "imagenet", "random", "resnet50", "net.onnxx"])
def test_words(weights):
    assert not is_weights_path(weights)
    assert "a path to a .h5 or .keras file" in WEIGHTS_WORDS
