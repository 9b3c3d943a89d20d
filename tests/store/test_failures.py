"""What could not be computed is kept by layer and seed, replaced by part, and forgotten with its stage."""

import pytest

from distspc.errors import InputError
from distspc.store.failures import Failure, forget_failures, keep_failures, stored_failures
from distspc.store.store import Store
from distspc.testing.stores import make_store


@pytest.fixture
def store(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=1, layers={"fc2": 4})
    return Store(tmp_path / "s.zarr")


def failure(stage, layer, seed=None):
    return Failure.of(stage, layer, seed, InputError(f"{layer}: the activations do not vary"))


def test_a_failure_says_what_why_and_the_way_out():
    one = failure("reconstruct", "fc1", 3)
    assert one.title == "reconstruction of layer fc1, seed 3"
    assert one.reason == "the activations do not vary"
    assert one.sentence.startswith("reconstruction of layer fc1, seed 3 failed: the activations do not vary")
    assert "take fc1 out of `layers`" in one.sentence


def test_failures_are_kept_in_the_order_of_layers_and_stages(store):
    keep_failures(store, "distances", [failure("distances", "fc2"), failure("distances", "fc1")], layers=["fc1", "fc2"])
    keep_failures(store, "reconstruct", [failure("reconstruct", "fc1", 1)], layers=["fc1"], seeds=[0, 1])
    found = stored_failures(store, layers=["fc1", "fc2"])
    assert [(one.stage, one.layer, one.seed) for one in found] == [
        ("distances", "fc1", None), ("reconstruct", "fc1", 1), ("distances", "fc2", None),
    ]  # fmt: skip
    assert stored_failures(store, layers=["fc1"], seeds=[0]) == [found[0]]


def test_what_is_computed_or_to_be_made_anew_is_no_failure_any_more(store):
    keep_failures(store, "distances", [failure("distances", "fc2")], layers=["fc2"])
    keep_failures(store, "reconstruct", [failure("reconstruct", "fc2", 0)], layers=["fc2"], seeds=[0])
    keep_failures(store, "distances", [], layers=["fc2"])
    assert [one.stage for one in stored_failures(store)] == ["reconstruct"]
    forget_failures(store, ["reconstruct"])
    assert stored_failures(store) == []
