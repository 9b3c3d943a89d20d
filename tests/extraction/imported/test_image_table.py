"""Tests of: the image table of activations that somebody already has."""

from distspc.extraction.imported.image_table import is_written, listed_digest, write_listed
from distspc.images.listing import ImageSource
from distspc.store.store import Store

IMAGES = [
    ImageSource("targets/1", "target", 1, "/nowhere/a.jpg", {"category": "cat ", "hit": "0.5"}),
    ImageSource("fillers/1", "filler", 1, "/nowhere/b.jpg", {"category": "dog", "hit": ""}),
]


def test_the_table_holds_what_is_listed_and_nothing_of_the_files(tmp_path):
    store = Store(tmp_path / "s.zarr")
    assert not is_written(store)
    write_listed(store, IMAGES, listed_digest(IMAGES))
    assert is_written(store)
    read = {name: store.images.read(name).tolist() for name in ("image", "role", "file", "category", "hit", "width")}
    assert read == {
        "image": ["targets/1", "fillers/1"],
        "role": ["target", "filler"],
        "file": ["/nowhere/a.jpg", "/nowhere/b.jpg"],
        "category": ["cat", "dog"],
        "hit": ["0.5", ""],
        "width": [-1, -1],
    }


def test_other_ids_and_categories_have_another_digest_other_folders_the_same():
    moved = [image._replace(file="/elsewhere" + image.file) for image in IMAGES]
    assert listed_digest(moved) == listed_digest(IMAGES)
    assert listed_digest(IMAGES[:1]) != listed_digest(IMAGES)
    assert listed_digest([image._replace(columns={}) for image in IMAGES]) != listed_digest(IMAGES)
