"""The small network for tests."""

import numpy as np

from distspc.extraction.network import load_network
from distspc.extraction.network_spec import resolve_network
from distspc.testing.small_network import write_network


def test_the_network_has_maps_and_units(tmp_path):
    path = write_network(tmp_path / "n.onnx")
    network = load_network(resolve_network(path, layers=("edges", "top")))
    found = network.activations(np.zeros((2, 12, 10, 3), np.uint8))
    assert network.input_size == (12, 10)
    assert {layer: values.shape for layer, values in found.items()} == {"edges": (2, 12, 10, 8), "top": (2, 6)}
    other = write_network(tmp_path / "m.onnx", seed=1)
    assert resolve_network(other, layers=("top",)).digest != resolve_network(path, layers=("top",)).digest
