"""Images as they are named: files, folders, tables; told apart by their bytes."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from distspc.errors import InputError
from distspc.images.listing import inspect_image
from distspc.io.files import digest_of
from distspc.scoring.images import columns_of, list_new_images, look_tasks, positions_of, tell_apart
from distspc.store.store import Store
from distspc.testing.stores import make_store


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "new").mkdir()
    for i, name in enumerate(["10.png", "2.png", "b.jpg"]):
        Image.fromarray(np.full((8, 8, 3), 40 * i, np.uint8)).save(tmp_path / "new" / name)
    return tmp_path


def names(given):
    return [source.id for source in list_new_images(given)]


def test_files_folders_and_tables_are_listed_once_in_their_order(folder):
    new = folder / "new"
    (folder / "t.csv").write_text("path,category\nnew/b.jpg,x\nnew/2.png,y\n")
    assert names(str(new)) == ["2", "10", "b"]
    assert names([new / "b.jpg", new]) == ["b", "2", "10"]
    listed = list_new_images([folder / "t.csv", new])
    assert [(s.id, s.columns.get("category")) for s in listed] == [("b", "x"), ("2", "y"), ("10", None)]
    frame = list_new_images(pd.DataFrame({"path": [str(new / "2.png")], "category": ["z"]}))
    assert [(s.id, s.file, s.columns["category"]) for s in frame] == [("2", str(new / "2.png"), "z")]


def test_files_of_one_stem_go_by_more_of_their_path(folder):
    (folder / "other").mkdir()
    (folder / "new" / "b.jpg").rename(folder / "other" / "2.jpg")
    assert names([folder / "new", folder / "other"]) == ["2.png", "10", "2.jpg"]


def test_nothing_to_score_is_refused(folder):
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"folder of images .*empty.* has no image"):
        list_new_images(folder / "empty")
    with pytest.raises(InputError, match="no image is named"):
        list_new_images([])
    with pytest.raises(InputError, match="no column path; it has file"):
        list_new_images(pd.DataFrame({"file": ["a"]}))


def looked_at(given, store):
    sources = list_new_images(given)
    records = [record for part in look_tasks(sources) for record in part.compute(scheduler="synchronous")]
    assert records == [inspect_image(source) for source in sources]
    return tell_apart(sources, records, store)


@pytest.fixture
def store(folder):
    """A study whose second and fourth image are 2.png, the fourth under its own path; its fifth is b.jpg."""
    make_store(folder / "s.zarr", n_targets=3, n_fillers=3, layers={"fc2": 4})
    group = Store(folder / "s.zarr").images
    digests, files = group.read("digest").tolist(), group.read("file").tolist()
    digests[1] = digests[3] = digest_of(folder / "new" / "2.png")
    digests[4], files[3] = digest_of(folder / "new" / "b.jpg"), str(folder / "new" / "2.png")
    group.write("digest", digests)
    group.write("file", files)
    return Store(folder / "s.zarr")


def test_images_of_the_study_are_known_by_their_bytes(folder, store):
    found = looked_at(folder / "new", store)
    assert positions_of(found.images).tolist() == [3, -1, 4]
    assert [image.category for image in found.images] == ["indoor", "", "outdoor"]
    ids = store.images.labels("image")
    assert columns_of(found.images, ids)["in_study"] == ["fillers/1", "", "fillers/2"]
    assert found.notices == [
        "2 of 3 images are in the study already (2 is fillers/1, b is fillers/2); no image is its own neighbour"
    ]
    (folder / "elsewhere.png").write_bytes((folder / "new" / "2.png").read_bytes())
    assert positions_of(looked_at(folder / "elsewhere.png", store).images).tolist() == [1]


def test_a_category_of_the_table_comes_before_that_of_the_study(folder, store):
    (folder / "t.csv").write_text("path,category\nnew/2.png,street\nnew/b.jpg,\n")
    found = looked_at(folder / "t.csv", store)
    assert positions_of(found.images).tolist() == [3, 4]
    assert [image.category for image in found.images] == ["street", "outdoor"]


def test_the_same_bytes_twice_are_said(folder, store):
    (folder / "copy.png").write_bytes((folder / "new" / "10.png").read_bytes())
    found = looked_at([folder / "new" / "10.png", folder / "copy.png"], store)
    assert found.notices == ["1 image has the same bytes as another of those given (copy is 10): each has its row"]
    assert [image.name for image in found.images] == ["10", "copy"]


def test_files_that_cannot_be_used_are_named(folder, store):
    (folder / "new" / "bad.png").write_bytes(b"no image")
    found = looked_at([folder / "new", folder / "gone.png", folder / "text.docx"], store)
    assert [image.name for image in found.images] == ["2", "10", "b"]
    reasons = {file.rpartition("/")[2]: reason for file, reason in found.skipped}
    assert set(reasons) == {"bad.png", "gone.png", "text.docx"}
    assert reasons["gone.png"] == "does not exist"
    with pytest.raises(InputError, match=r"none of the 2 images can be used; the first: .*bad.png"):
        looked_at([folder / "new" / "bad.png", folder / "gone.png"], store)
    with pytest.raises(InputError, match=r"gone.png': does not exist; there is no other image to score"):
        looked_at(folder / "gone.png", store)
