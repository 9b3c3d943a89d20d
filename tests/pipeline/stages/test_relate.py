"""What the relations rest on: names of images count from their common folder."""

import hashlib
import json

import pytest

from distspc.pipeline.stages.relate import _is_lost, _names_digest
from distspc.store.store import Store


def make(path, files):
    store = Store(path)
    n = len(files)
    store.images.allocate(coords={"image": [f"targets/{i}" for i in range(n)]}, chunks={"image": n}, recipe={})
    store.images.write("role", ["target"] * n)
    store.images.write("number", list(range(n)))
    store.images.write("file", files)
    return store


@pytest.mark.parametrize("names", [["T/a.png", "F/b.png"], ["a.png", "b.png"], ["a.png"]])
def test_a_study_that_moves_as_a_whole_keeps_its_names(tmp_path, names):
    here = make(tmp_path / "1.zarr", [f"/here/study/{name}" for name in names])
    there = make(tmp_path / "2.zarr", [f"/mnt/there/{name}" for name in names])
    assert _names_digest(here) == _names_digest(there)
    assert _names_digest(here, absolute=True) != _names_digest(there, absolute=True)


def test_another_name_is_another_digest(tmp_path):
    one = make(tmp_path / "1.zarr", ["/s/T/a.png", "/s/F/b.png"])
    assert _names_digest(one) != _names_digest(make(tmp_path / "2.zarr", ["/s/T/c.png", "/s/F/b.png"]))


def test_whole_paths_give_the_digest_of_before(tmp_path):
    store = make(tmp_path / "1.zarr", ["/s/a.png", "/s/b.png"])
    text = json.dumps({"images": [["target", "target"], [0, 1], ["/s/a.png", "/s/b.png"]]})
    assert _names_digest(store, absolute=True) == hashlib.sha256(text.encode()).hexdigest()


def test_a_control_is_lost_with_its_layer_or_with_the_images():
    assert _is_lost("norm:fc2", ["norm:fc1"], {"fc2"})
    assert _is_lost("edges", ["norm:fc1"], {""})
    assert not _is_lost("edges", ["edge_share"], {""})
    assert not _is_lost("category", ["norm:fc1"], {""})
    assert not _is_lost("norm:fc1", ["norm:fc1"], {"fc2"})
