"""Tests of: damaged chunks, and what interrupted writers left behind."""

import pytest

from distspc.errors import InputError
from distspc.store.activations import give_back
from distspc.store.store import Store
from distspc.store.verify import damaged_chunks, expect_writers, remove_damaged, remove_partial_chunks
from distspc.testing.stores import make_store


@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_damaged_chunk_is_named_and_removed(tmp_path, damage):
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=4, n_fillers=4, layers={"fc2": 50}, chunks={"image": 4})
    chunk = path / "activations/fc2/activation/c/1/0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(bytes(data) if damage == "flip" else bytes(data[:-7]))
    with pytest.raises(InputError, match="distspc verify"):
        Store(path).layer("fc2").read("activation")
    assert list(damaged_chunks(Store(path))) == [chunk]
    assert remove_damaged(Store(path)) == [chunk]
    assert Store(path).layer("fc2").done("activation").tolist() == [[True], [False]]


def test_sweep_removes_unfinished_chunks(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=0, layers={"fc2": 4})
    left = tmp_path / "s.zarr/activations/fc2/activation/c/0/0.abc.partial"
    left.write_bytes(b"half")
    store = Store(tmp_path / "s.zarr")
    assert remove_partial_chunks(store) == 1
    assert not left.exists()
    left.write_bytes(b"half")
    beside = [store.path / "activations/fc2/zarr.0a1b.partial", store.path / "images/role/c/0.0a1b.partial"]
    for path in beside:
        path.write_bytes(b"half")
    assert remove_partial_chunks(store) == 2  # no writer since: those of a million images are not walked through
    assert not any(path.exists() for path in beside)
    assert left.exists()
    expect_writers(store)
    assert remove_partial_chunks(store) == 1
    assert not left.exists()
    left.write_bytes(b"half")
    assert remove_partial_chunks(store, everywhere=True) == 1
    assert remove_partial_chunks(Store(tmp_path / "no.zarr")) == 0
    expect_writers(Store(tmp_path / "no.zarr"))
    assert not (tmp_path / "no.zarr").exists()


def test_a_layer_that_was_given_back_is_whole(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=0, layers={"fc1": 5, "fc2": 4})
    store = Store(tmp_path / "s.zarr")
    give_back(store, "fc2")
    assert list(damaged_chunks(store)) == []
