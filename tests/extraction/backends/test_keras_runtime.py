"""Tests of: keras and TensorFlow, imported with their threads, memory and logging set."""

import importlib
import importlib.util
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.backends import keras_runtime as backend
from distspc.layers import LAYERS
from distspc.store.store import Store
from tests.extraction.shared import ALL, assert_close, expected, extract, run, scan

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def test_float16_storage_is_exact_rounding_and_refuses_what_it_cannot_hold(study, model, tmp_path):
    scan(study)
    run(extract(study, model, dtype="float16"))
    found = Store(study / "s.zarr").layer("top").read("activation")
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, expected(study, model, "top"), rtol=1e-3)
    keras = backend.import_keras(2)
    inputs = keras.Input((12, 10, 3))
    large = tmp_path / "large.keras"
    keras.Model(inputs, keras.layers.Rescaling(1e6, name="large")(inputs)).save(large)
    with pytest.raises(InputError, match="activations of large exceed 65504"):
        run(extract(study, str(large), layers=("large",), dtype="float16"))


# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


EXTRACT = """
import sys
import numpy as np
from distspc.extraction.network import load_network
from distspc.extraction.network_spec import resolve_network
recipe = resolve_network("random", layers={layers!r})
np.savez(sys.argv[2], **load_network(recipe, 2).activations(np.load(sys.argv[1])))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_all_seven_layers_in_one_pass_equal_the_network_by_hand(
    backend, network_photographs, expected_activations, tmp_path
):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"Keras backend {backend} is not installed")
    np.save(tmp_path / "in.npy", network_photographs)
    subprocess.run(
        [sys.executable, "-c", EXTRACT.format(layers=ALL), tmp_path / "in.npy", tmp_path / "out.npz"],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
        timeout=300,
    )
    with np.load(tmp_path / "out.npz") as found:
        assert set(found.files) == set(ALL)
        for layer in ALL:
            assert found[layer].shape == (2, *LAYERS[layer].shape)
            assert_close(found[layer], expected_activations[layer])


# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def test_hidden_packages_are_not_found_by_this_thread_alone(tmp_path, monkeypatch):
    (tmp_path / "an_extra.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with backend.hidden(["an_extra"]):
        with pytest.raises(ImportError):
            importlib.import_module("an_extra")
        with ThreadPoolExecutor(1) as other:
            assert other.submit(importlib.import_module, "an_extra").result().value == 1
    del sys.modules["an_extra"]
    assert importlib.import_module("an_extra").value == 1
    del sys.modules["an_extra"]


def extras_after_import() -> list[str]:
    backend.import_keras(1)
    return [name for name in backend.EXTRAS if name in sys.modules]


def test_a_worker_imports_keras_without_what_it_uses_for_plots_and_tables():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as worker:
        assert worker.submit(extras_after_import).result() == []
