"""Paths in the store."""

from pathlib import Path

import numpy as np

from distspc.store.format.paths import absolute_paths, kept_paths
from distspc.store.store import Store

STORE = Path("/home/somebody/study/made/s.zarr")


def test_paths_near_the_store_are_kept_from_its_folder_and_others_as_they_are():
    given = [
        "/home/somebody/study/made/1.png",
        "/home/somebody/study/Images/1.png",
        "/home/somebody/study2/1.png",
        "/data/1.png",
        "1.png",
    ]
    kept = kept_paths(given, STORE)
    assert kept == ["1.png", "../Images/1.png", "/home/somebody/study2/1.png", "/data/1.png", "1.png"]
    assert absolute_paths(kept, STORE)[:4] == given[:4]
    moved = absolute_paths(kept, Path("/mnt/x/made/s.zarr"))
    assert moved[:2] == ["/mnt/x/made/1.png", "/mnt/x/Images/1.png"]
    assert absolute_paths([""], STORE) == [""]


def test_what_is_beside_the_home_of_somebody_does_not_move_with_a_store():
    assert kept_paths(["/home/else/1.png"], Path("/home/somebody/s.zarr")) == ["/home/else/1.png"]


def test_groups_give_absolute_paths_and_keep_others(tmp_path):
    images = Store(tmp_path / "s.zarr").images
    files = [str(tmp_path / "a.png"), "/data/b.png"]
    images.allocate(coords={"image": ["a", "b"]}, chunks={"image": 2}, recipe={}, variables=["file"])
    images.write("file", files)
    assert images.read("file").tolist() == files
    assert images.read("file", image=0) == files[0]
    assert images.read("file", image=np.array([1, 0])).tolist() == files[::-1]
    (tmp_path / "s.zarr").rename(tmp_path / "t.zarr")
    assert Store(tmp_path / "t.zarr").images.read("file").tolist() == files
