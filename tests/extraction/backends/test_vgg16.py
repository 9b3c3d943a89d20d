"""Tests of `distspc.extraction.backends.vgg16`."""

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.backends import vgg16
from distspc.extraction.backends.base import Memory
from distspc.extraction.network_spec import NetworkSpec, resolve_network
from distspc.layers import VGG16, forward_flop, vgg16_weight_shapes


def test_the_weights_are_those_of_the_layers_up_to_the_deepest_and_of_the_seed():
    spec = resolve_network("random", layers=("block2_conv1", "block1_pool"), seed=2)
    assert vgg16.needed_layers(spec) == list(VGG16)[:4]
    found = dict(vgg16.read_weights(spec))
    shapes = vgg16_weight_shapes(list(VGG16)[:4], 1365)
    assert {name: [array.shape for array in arrays] for name, arrays in found.items()} == shapes
    other = dict(vgg16.read_weights(resolve_network("random", layers=("block1_conv1",))))
    assert list(other) == ["block1_conv1"]
    assert not np.array_equal(found["block1_conv1"][0], other["block1_conv1"][0])


def test_weights_of_a_file_that_has_changed_are_refused(tmp_path):
    (tmp_path / "w.h5").write_bytes(b"other")
    spec = NetworkSpec("vgg16", str(tmp_path / "w.h5"), "sha256:" + "0" * 64, ("block1_conv1",))
    with pytest.raises(InputError, match=r"have digest sha256:.*, expected sha256:000"):
        next(vgg16.read_weights(spec))


def test_layers_and_sizes_are_those_of_the_table():
    spec = resolve_network("random", layers=("fc2", "block1_pool"))
    listed = {one.name: one for one in vgg16.list_layers(spec)}
    assert list(listed) == list(VGG16)
    kinds = [listed[name].kind for name in ("block1_conv1", "block1_pool", "flatten", "fc1", "drop_fc1", "predictions")]
    assert kinds == ["Conv2D", "MaxPooling2D", "Flatten", "Dense", "Dropout", "Dense"]
    memory = Memory(3, 2, 1, 1)
    size = vgg16.measure(spec, memory)
    assert size.shapes == {"fc2": (4096,), "block1_pool": (112, 112, 64)}
    assert size.flop == forward_flop("fc2")
    assert size.memory is memory
