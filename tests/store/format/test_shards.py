"""One file for the chunks of a task: written part by part, whole or not at all, in Zarr's own format."""

import os
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.errors import InputError
from distspc.store.format import shards
from distspc.store.store import Store
from distspc.store.verify import damaged_chunks, remove_damaged
from distspc.testing.stores import image_ids, make_store, relu_activations


def allocate(path, *, n_images=7, n_features=10, chunks=None, in_shards=True):
    group = Store(path).layer("fc2")
    group.allocate(
        coords={"image": image_ids(n_images, 0), "feature": n_features},
        chunks=chunks or {"image": 4, "feature": 3},
        shards={"feature": n_features} if in_shards else None,
        recipe={},
    )
    return group


def files(path):
    return sorted(f.relative_to(path).as_posix() for f in path.rglob("*") if f.is_file() and f.name != "zarr.json")


def parts(values, rows, size):
    for start in range(0, values.shape[1], size):
        columns = slice(start, min(start + size, values.shape[1]))
        yield {"image": rows, "feature": columns}, values[rows, columns]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 7))
def test_zarr_reads_what_is_written_and_we_read_what_zarr_writes(
    tmp_path_factory, n_images, n_features, image, feature
):
    path = tmp_path_factory.mktemp("any") / "s.zarr"
    sizes = {"n_images": n_images, "n_features": n_features, "chunks": {"image": image, "feature": feature}}
    group, values = allocate(path, **sizes), relu_activations(n_images, n_features)
    for start in range(0, n_images, image):
        rows = slice(start, min(start + image, n_images))
        group.write_parts("activation", parts(values, rows, feature))
    assert np.array_equal(zarr.open_array(path, path="activations/fc2/activation", mode="r")[:], values)
    zarr.open_array(path, path="activations/fc2/activation", mode="r+")[:] = -values
    found = Store(path).layer("fc2")
    assert np.array_equal(found.read("activation"), -values)
    rows = np.arange(n_images)[::2]
    assert np.array_equal(found.read("activation", image=rows, feature=slice(1, None)), -values[rows, 1:])


def test_a_task_writes_one_file_a_layer_and_chunks_stay_what_readers_want(tmp_path):
    group = allocate(tmp_path / "s.zarr")
    assert group.chunks("activation") == {"image": 4, "feature": 3}
    assert group.done("activation").tolist() == [[False], [False]]
    group.write("activation", np.ones((4, 10)), image=slice(0, 4))
    assert files(group.path / "activation") == ["c/0/0"]
    assert group.done("activation").tolist() == [[True], [False]]
    assert np.isnan(group.read("activation", image=slice(4, 7))).all()
    assert group.read("activation", image=slice(0, 4)).tolist() == np.ones((4, 10)).tolist()


def test_a_shard_appears_when_it_is_whole_and_not_at_all_otherwise(tmp_path):
    group, values = allocate(tmp_path / "s.zarr"), np.ones((7, 10))
    seen = []

    def watched(stop=None):
        for part in list(parts(values, slice(0, 4), 3))[:stop]:
            seen.append(files(group.path / "activation"))
            yield part

    with pytest.raises(ValueError, match=r"c/0/0: 1 of 4 chunks of a shard is not written"):
        group.write_parts("activation", watched(stop=3))
    assert files(group.path / "activation") == []
    group.write_parts("activation", watched())
    assert files(group.path / "activation") == ["c/0/0"]
    assert all(name.endswith(".partial") for names in seen for name in names)
    with pytest.raises(ValueError, match="does not cover whole chunks of 3"):
        group.write("activation", np.ones((4, 2)), image=slice(0, 4), feature=slice(0, 2))


def test_a_writer_that_fails_leaves_nothing_behind_and_an_older_shard_as_it_is(tmp_path):
    group, values = allocate(tmp_path / "s.zarr"), np.ones((7, 10))
    group.write("activation", values[:4], image=slice(0, 4))

    def failing():
        yield from list(parts(2 * values, slice(0, 4), 3))[:2]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        group.write_parts("activation", failing())
    assert files(group.path / "activation") == ["c/0/0"]
    assert (group.read("activation", image=slice(0, 4)) == 1).all()
    group.write("activation", 3 * values[:4], image=slice(0, 4))
    assert (Store(tmp_path / "s.zarr").layer("fc2").read("activation", image=slice(0, 4)) == 3).all()


@pytest.mark.parametrize("where", ["first byte", "middle", "index", "checksum of the index", "empty", "cut"])
def test_verify_looks_at_every_chunk_and_at_the_index(tmp_path, where):
    path = tmp_path / "s.zarr"
    made = make_store(path, n_targets=4, n_fillers=4, layers={"fc2": 50}, chunks={"image": 4, "feature": 20})["fc2"]
    shard = path / "activations/fc2/activation/c/1/0"
    data = bytearray(shard.read_bytes())
    if where in ("empty", "cut"):
        data = data[: 0 if where == "empty" else -9]
    else:
        data[{"first byte": 0, "middle": len(data) // 2, "index": -20, "checksum of the index": -1}[where]] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(InputError, match="distspc verify"):
        Store(path).layer("fc2").read("activation")
    assert np.array_equal(Store(path).layer("fc2").read("activation", image=slice(0, 4)), made[:4])
    assert list(damaged_chunks(Store(path))) == [shard]
    assert remove_damaged(Store(path)) == [shard]
    assert Store(path).layer("fc2").done("activation").tolist() == [[True], [False]]


def test_an_array_that_is_there_keeps_its_files(tmp_path):
    path = tmp_path / "s.zarr"
    allocate(path, in_shards=False)
    group = allocate(path)
    group.write("activation", np.ones((4, 10)), image=slice(0, 4))
    assert files(group.path / "activation") == ["c/0/0", "c/0/1", "c/0/2", "c/0/3"]
    assert group.done("activation").shape == (2, 4)


def test_a_layer_of_one_chunk_of_features_needs_no_shards(tmp_path):
    group = allocate(tmp_path / "s.zarr", chunks={"image": 4, "feature": 10})
    assert shards.open_array(group.path / "activation", "r") is None
    group.write("activation", np.ones((4, 10)), image=slice(0, 4))
    assert files(group.path / "activation") == ["c/0/0"]


def test_shards_with_another_index_are_left_to_zarr(tmp_path):
    group = allocate(tmp_path / "s.zarr")
    where = group.path / "activation/zarr.json"
    where.write_text(where.read_text().replace('"index_location": "end"', '"index_location": "start"'))
    group.write("activation", np.ones((4, 10)), image=slice(0, 4))
    assert shards.open_array(group.path / "activation", "r") is None
    assert Store(tmp_path / "s.zarr").layer("fc2").read("activation", image=slice(0, 4)).all()


def test_a_chunk_is_read_without_the_rest_of_its_shard(tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=8, n_fillers=0, layers={"fc2": 4000}, chunks={"image": 8, "feature": 400})
    read, real = [], os.pread
    monkeypatch.setattr(os, "pread", lambda file, n, at: read.append(n) or real(file, n, at))
    group = Store(path).layer("fc2")
    for _ in range(3):
        group.read("activation", feature=slice(800, 1200))
    assert sum(n == 16 * 10 + 4 for n in read) == 1
    assert sum(read) < Path(group.path / "activation/c/0/0").stat().st_size / 2


def test_the_last_shard_of_an_array_has_as_many_chunks_as_are_left(tmp_path):
    group = Store(tmp_path / "s.zarr").layer("fc2")
    sizes = {"chunks": {"image": 2, "feature": 4}, "shards": {"image": 4}}
    group.allocate(coords={"image": image_ids(5, 0), "feature": 4}, recipe={}, **sizes)
    values = np.arange(20, dtype=np.float32).reshape(5, 4)
    group.write("activation", values[:4], image=slice(0, 4))
    assert group.done("activation").ravel().tolist() == [True, False]
    group.write("activation", values[4:], image=slice(4, 5))
    assert group.done("activation").all()
    np.testing.assert_array_equal(group.read("activation"), values)
