"""What of a layer's output is kept, against NumPy, and what is refused or asked for."""

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.pooling import (
    POOLINGS,
    Prefix,
    n_prefix_tokens,
    pool,
    pooled_shape,
    refuse_unpooled,
)

VIT = Prefix(1, has_class_token=True)


@pytest.fixture
def tokens():
    return np.random.default_rng(0).standard_normal((3, 261, 8)).astype(np.float32)


@pytest.mark.parametrize("n_prefix", [0, 1, 5])
def test_tokens_are_pooled_over_patches(tokens, n_prefix):
    patches = tokens[:, n_prefix:].astype(float)
    np.testing.assert_array_equal(pool(tokens, "mean", n_prefix), patches.mean(axis=1).astype(np.float32))
    np.testing.assert_array_equal(pool(tokens, "max", n_prefix), patches.max(axis=1))
    np.testing.assert_array_equal(pool(tokens, "cls", n_prefix), tokens[:, 0])
    assert pool(tokens, "flatten", n_prefix) is tokens


def test_maps_are_pooled_over_rows_and_columns_and_vectors_stay(tokens):
    maps = tokens.reshape(3, 9, 29, 8)
    np.testing.assert_array_equal(pool(maps, "mean"), maps.astype(float).mean(axis=(1, 2)).astype(np.float32))
    np.testing.assert_array_equal(pool(maps, "max"), maps.max(axis=(1, 2)))
    vectors = tokens[:, 0]
    for pooling in POOLINGS:
        assert pool(vectors, pooling) is vectors


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("shape", [(5,), (4, 4, 5), (17, 5)])
def test_shapes_are_those_of_what_is_kept(pooling, shape):
    if pooling == "cls" and len(shape) == 3:
        return  # refused
    assert pool(np.zeros((2, *shape), np.float32), pooling).shape == (2, *pooled_shape(shape, pooling))


@pytest.mark.parametrize(("n_tokens", "n"), [(196, 0), (197, 1), (201, 5), (257, 1), (261, 5), (1370, 1), (50, 1)])
def test_where_nobody_says_patches_are_a_square(n_tokens, n):
    assert n_prefix_tokens("x", (n_tokens, 8), "mean", None) == n


def test_what_network_or_study_says_counts():
    assert n_prefix_tokens("x", (257, 8), "max", Prefix(0, has_class_token=False)) == 0
    assert n_prefix_tokens("x", (193, 8), "mean", VIT) == 1
    assert n_prefix_tokens("x", (7, 7, 8), "mean", VIT) == 0
    assert n_prefix_tokens("x", (257, 8), "flatten", VIT) == 0
    with pytest.raises(
        InputError, match=r"blocks.3: cannot tell which of its 193 tokens are patches .* set `prefix-tokens`"
    ):
        n_prefix_tokens("blocks.3", (193, 8), "mean", None)
    with pytest.raises(InputError, match=r"`prefix-tokens: 257` leaves no patches of its 257 tokens"):
        n_prefix_tokens("x", (257, 8), "max", Prefix(257, has_class_token=True))


@pytest.mark.parametrize(
    ("shape", "known", "sentence"),
    [
        ((7, 7, 512), None, r"its output, 7 x 7 x 512, is no row of tokens; take mean, max or none"),
        ((4096,), None, "its output, 4096, is no row of tokens"),
        ((196, 8), None, r"none among its tokens \(196 are a square of patches\).*or state `prefix-tokens`"),
        ((200, 8), Prefix(4, has_class_token=False), r"none among its tokens \(the network has none\)"),
    ],
)
def test_a_class_token_that_is_not_there_is_refused(shape, known, sentence):
    with pytest.raises(InputError, match=sentence):
        n_prefix_tokens("x", shape, "cls", known)


def test_a_class_token_is_there_where_it_may_be():
    for shape, known in (((257, 8), None), ((193, 8), None), ((196, 8), VIT)):
        assert n_prefix_tokens("x", shape, "cls", known) == 0


def test_tokens_are_asked_for_with_choices_and_bytes():
    shapes = {"fc": (10,), "map": (4, 4, 3), "blocks.11": (257, 768)}
    with pytest.raises(InputError) as caught:
        refuse_unpooled(shapes, {}, 10_264, 4)
    message = str(caught.value)
    assert message.startswith("blocks.11 has 257 tokens of 768 features for each image")
    assert "layers: [{name: blocks.11, pooling: cls}]" in message
    assert "cls, mean or max, 30.1 MiB for 10,264 images; or flatten, all tokens, 7.5 GiB" in message
    refuse_unpooled(shapes, {"blocks.11": "flatten"}, 10_264, 4)
