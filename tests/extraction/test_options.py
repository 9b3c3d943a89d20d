"""One rule for what is a path of weights, whatever the case of its ending."""

import inspect
from dataclasses import asdict

import pytest

from distspc.extraction.build import extract_activations
from distspc.extraction.network_spec import choose_network, resolve_network
from distspc.extraction.options import (
    PRECISIONS,
    PREPROCESSING,
    STORAGE_DTYPES,
    WEIGHTS_WORDS,
    ExtractionOptions,
    is_weights_path,
)


@pytest.mark.parametrize("weights", ["net.h5", "Net.H5", "a/net", "net.keras", "NET.HDF5", "./imagenet", "Net.ONNX"])
def test_paths(weights):
    assert is_weights_path(weights)


@pytest.mark.parametrize("weights", ["hybrid1365", "imagenet", "random", "resnet50", "net.onnxx", "timm:hf-hub:a/b"])
def test_words(weights):
    assert not is_weights_path(weights)
    assert "a path to a .h5 or .keras file or to an .onnx file, timm:NAME" in WEIGHTS_WORDS


def test_defaults_of_the_function_are_those_of_the_options():
    taken = inspect.signature(extract_activations).parameters
    assert {name: taken[name].default for name in asdict(ExtractionOptions())} == asdict(ExtractionOptions())


def test_sets_of_words():
    assert PREPROCESSING == ("auto", "raw", "caffe")
    assert PRECISIONS == ("float32", "bfloat16", "float16")
    assert STORAGE_DTYPES == ("float32", "float16")


def test_the_network_is_what_resolve_network_takes():
    network = ExtractionOptions(weights="random", seed=3).network
    kept = {"pooling", "prefix_tokens"}  # of what the network gives, which `resolve_network` takes itself
    assert set(network) - kept == set(inspect.signature(choose_network).parameters)
    assert kept < set(inspect.signature(resolve_network).parameters)
    assert resolve_network(layers=["fc2"], **network).digest == "random:he-uniform:3"
