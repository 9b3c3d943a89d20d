"""VGG-16's table against Keras' own figures and the paper's."""

import pytest

from distspc.errors import InputError
from distspc.layers import (
    LAYERS,
    VGG16,
    VGG16_LAYERS,
    by_model,
    folder_name,
    forward_flop,
    layer_label,
    layer_of_folder,
    layer_order,
    models_of,
    n_features,
    split_layer,
    vgg16_shape,
    vgg16_weight_shapes,
)


def test_the_seven_layers_have_the_features_of_the_paper():
    assert sum(layer.n_features for layer in LAYERS.values()) == 1_538_560
    assert LAYERS["block1_pool"].nbytes == 4 * 112 * 112 * 64
    assert n_features("block5_pool") == 25_088


def test_the_imagenet_network_has_the_parameters_that_are_published():
    shapes = vgg16_weight_shapes(list(VGG16), 1000)
    sizes = [kernel + bias for kernel, bias in (map(product, pair) for pair in shapes.values())]
    assert sum(sizes) == 138_357_544
    assert vgg16_shape("predictions", 1000) == (1000,)


def product(shape):
    total = 1
    for n in shape:
        total *= n
    return total


def test_operations_up_to_a_layer():
    # Two times 15.47e9 multiplications, as published for the whole network of 1,000 classes.
    assert forward_flop("fc2") / 2 == pytest.approx(15.47e9, rel=1e-3)
    flops = [forward_flop(name) for name in LAYERS]
    assert flops == sorted(flops)


def test_layers_go_from_the_image_upward():
    assert layer_order(["fc2", "mine", "block1_pool", "fc2", "block1_conv2"]) == [
        "block1_conv2", "block1_pool", "fc2", "mine",
    ]  # fmt: skip
    assert layer_order(VGG16_LAYERS[::-1]) == list(VGG16_LAYERS)


def test_the_cost_of_other_layers_is_not_known():
    with pytest.raises(InputError, match=r"layer 'blocks\.11' is not known; a plan covers block1_pool, "):
        n_features("blocks.11")


def test_a_label_says_layer_and_model():
    labels = ["fc2@vgg", "/encoder/layer.0@clip", "outer/conv1:0@vgg"]
    assert [layer_label(*split_layer(label)) for label in labels] == labels
    assert split_layer("outer/inner") == ("outer/inner", "")
    assert models_of(labels) == ["vgg", "clip"]
    assert models_of(["fc2", "outer/inner"]) == []
    assert by_model(labels) == {"vgg": [labels[0], labels[2]], "clip": [labels[1]]}
    assert by_model(["fc2", "fc1"]) == {"": ["fc2", "fc1"]}


def test_layers_of_several_networks_go_network_by_network():
    found = layer_order(["fc2@b", "fc2@a", "block1_pool@b", "mine@a", "block1_pool@a"])
    assert found == ["block1_pool@b", "fc2@b", "block1_pool@a", "fc2@a", "mine@a"]


def test_the_folder_of_a_layer_can_be_read_and_gives_its_label_back():
    assert folder_name("fc2@vgg") == "fc2@vgg"
    assert layer_of_folder(folder_name("/encoder/layer.0@clip")) == "/encoder/layer.0@clip"
