"""Tests of `distspc.extraction.backends.base`."""

import functools

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.backends import base


def test_random_kernels_depend_on_seed_and_name_alone_and_keep_the_scale():
    draw = functools.partial(base.random_kernel, (3, 3, 64, 64), 576)
    kernel = draw(seed=0, name="a")
    np.testing.assert_array_equal(kernel, draw(seed=0, name="a"))
    assert not np.array_equal(kernel, draw(seed=1, name="a"))
    assert not np.array_equal(kernel, draw(seed=0, name="b"))
    assert kernel.var() == pytest.approx(2 / 576, rel=0.05)
    assert kernel.dtype == np.float32


def test_the_size_of_the_input_is_the_networks_then_the_studys_then_224():
    assert base.settled_size((12, 10), None) == (12, 10)
    assert base.settled_size((None, "width"), None) == (224, 224)
    assert base.settled_size((None, 0), (30, 40)) == (30, 40)
    assert base.settled_size((30, None), (30, 40)) == (30, 40)
    with pytest.raises(InputError, match="size 30 x 40: the network takes 12 x 10; leave it out"):
        base.settled_size((12, 10), (30, 40))


def test_memory_by_the_copies_of_the_weights_and_the_largest_activations():
    memory = base.Memory.of(1000, 5, n_parameters=100, n_largest=10)
    assert memory == base.Memory(building=1000 + 5 * 400, built=1000 + 2 * 400, image=4 * 40, left=1000)


def test_shapes_that_are_not_fixed_are_refused():
    assert base.fixed_shape("a", (7, 7, 512)) == (7, 7, 512)
    for shape in ((), (None, 3), ("n", 4)):
        with pytest.raises(InputError, match=r"layer 'a' has outputs of shape .*, whose size is not fixed"):
            base.fixed_shape("a", shape)


def test_features_of_a_layer():
    assert base.NetworkLayer("a", "Conv2D", (7, 7, 512)).n_features == 25_088
    assert base.NetworkLayer("a", "Conv2D", (None, 7, 512)).n_features is None


def test_numbers_that_are_not_finite_name_layer_and_precision():
    base.refuse_overflow({"a": np.array([np.inf])}, "float32")
    base.refuse_overflow({"a": np.array([1.0])}, "float16")
    with pytest.raises(InputError, match="activations of a are not finite when computed in float16; set `precision"):
        base.refuse_overflow({"a": np.array([np.nan])}, "float16")
