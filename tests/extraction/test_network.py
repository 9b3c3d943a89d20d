"""Tests of `distspc.extraction.network`."""

import subprocess
import sys

import pytest

from distspc.deployment.session import deploy
from distspc.extraction import network
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
