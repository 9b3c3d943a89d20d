"""Tests of: a worker's side of the extraction: decode, forward pass, write."""

import pytest

from distspc.extraction import forward, network
from tests.extraction.shared import extract, run, scan

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def test_what_extraction_keeps_is_given_back(study, model):
    scan(study)
    run(extract(study, model))
    forward.release()
    assert network._cached_network.cache_info().currsize == 0
    (study / "s.zarr" / "activations" / "top" / "activation" / "c" / "1" / "0").unlink()
    assert run(extract(study, model)) == (7,)
