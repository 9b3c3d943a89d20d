"""Tests of `distspc.extraction.network`."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

from distspc.deployment.session import deploy
from distspc.errors import InputError
from distspc.extraction import network
from distspc.extraction.network_spec import resolve_network
from distspc.pipeline.run import Study
from distspc.store.store import Store

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def test_choosing_loads_no_keras():
    code = (
        "import sys; from distspc.extraction.network import layer_shapes; "
        "from distspc.extraction.network_spec import resolve_network; "
        "layer_shapes(resolve_network('random', layers=['fc2']));"
        "assert not {'keras', 'tensorflow', 'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_network_leaves_the_workers_with_its_stage(study, model):
    content = {"store": "s.zarr", "images": {"targets": "Images/Targets"}, "model": {"weights": model}}
    whole = Study.from_dict({**content, "layers": ["edges"]}, base=study)
    with deploy("local", overrides=("distspc.workers=1",)) as client:
        whole.run(client, stages=["extract"])
        (kept,) = client.run(network._cached_network.cache_info).values()
    assert (kept.misses, kept.currsize) == (0, 0)  # counted anew once it is let go
    assert Store(study / "s.zarr").layer("edges").done("activation").all()


LAYERS = ("edges", "patches", "tokens", "top")


def outputs(model, images, layers=LAYERS, **settings):
    spec = resolve_network(model, layers=layers, **settings)
    found = network.load_network(spec, 2).activations(images)
    assert network.layer_shapes(spec) == {layer: values.shape[1:] for layer, values in found.items()}
    return found


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)


def test_what_is_kept_of_an_output_is_what_its_pooling_says(token_model, images):
    whole = outputs(token_model, images)
    found = outputs(token_model, images, pooling="mean")
    np.testing.assert_allclose(found["edges"], whole["edges"].mean(axis=(1, 2)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["patches"], whole["patches"].mean(axis=1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["tokens"], whole["tokens"][:, 1:].mean(axis=1), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found["top"], whole["top"])
    some = outputs(token_model, images, pooling={"tokens": "cls", "edges": "max", "patches": "flatten"})
    np.testing.assert_array_equal(some["tokens"], whole["tokens"][:, 0])
    np.testing.assert_array_equal(some["edges"], whole["edges"].max(axis=(1, 2)))
    np.testing.assert_array_equal(some["patches"], whole["patches"])
    np.testing.assert_array_equal(some["top"], whole["top"])


def test_stated_prefix_tokens_overrule_what_is_taken(token_model, images):
    whole = outputs(token_model, images, layers=("tokens",))["tokens"]
    found = outputs(token_model, images, layers=("tokens",), pooling="max", prefix_tokens=0)["tokens"]
    np.testing.assert_array_equal(found, whole.max(axis=1))
    spec = resolve_network(token_model, layers=("tokens", "patches", "edges"), pooling="mean")
    assert network.network_size(spec).prefix_tokens == {"tokens": 1, "patches": 0, "edges": 0}


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [("patches", "none among its tokens"), ("edges", "is no row of tokens"), ("top", "is no row of tokens")],
)
def test_a_class_token_must_be_there(token_model, layer, sentence):
    with pytest.raises(InputError, match=f"{layer}: `pooling: cls`.*{sentence}"):
        network.layer_shapes(resolve_network(token_model, layers=[layer], pooling="cls"))


def test_networks_are_released_where_a_backend_is_known_and_its_packages_are_not_there(monkeypatch):
    importlib.import_module("distspc.extraction.backends.torch")
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    network.release_network()
