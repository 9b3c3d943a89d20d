"""Chunks of activations: even ones for every layer, small enough for a task."""

import pytest

from distspc.layers import LAYERS
from distspc.store.format.chunks import activation_chunks


@pytest.mark.parametrize("layer", LAYERS.values(), ids=list(LAYERS))
def test_layers_split_into_even_chunks(layer):
    chunk = activation_chunks(10_264, layer.n_features)
    assert layer.n_features % chunk["feature"] == 0
    assert chunk["image"] * chunk["feature"] * 4 <= 16 * 2**20


def test_a_study_of_few_images_has_one_chunk_of_them():
    assert activation_chunks(3, 10) == {"image": 3, "feature": 10}
