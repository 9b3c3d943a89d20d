"""The image table: names that the store can hold, and a digest of the images."""

import os
import shutil

import dask
import numpy as np
import PIL.Image
import pytest

from distspc.errors import InputError, StoreMismatchError
from distspc.images.inventory import (
    extra_columns,
    images_digest,
    refuse_other_images,
    same_images,
    scan_images,
    skipped_images,
    write_images,
)
from distspc.images.listing import ImageSource, list_images
from distspc.store.store import Store


@pytest.fixture
def folder(tmp_path):
    for name, value in (("1.png", 10), ("2.png", 200), ("3.png", 90)):
        PIL.Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(tmp_path / name)
    (tmp_path / "4.png").write_bytes(b"no image")
    return tmp_path


def write(store, folder):
    sources = list_images(folder)
    rows = dask.compute(*scan_images(store, sources), scheduler="synchronous")
    write_images(store, sources, list(rows))
    return len(rows)


def test_asking_writes_nothing_and_a_second_scan_has_nothing_to_read(folder, tmp_path):
    store = Store(tmp_path / "s" / "s.zarr")
    scan_images(store, list_images(folder))
    assert not store.path.exists()
    assert write(store, folder) > 0
    assert scan_images(store, list_images(folder)) == []
    assert [str(file).rsplit("/", 1)[-1] for file, _ in skipped_images(store)] == ["4.png"]
    assert store.images.read("width").tolist() == [4, 4, 4]


def test_a_file_of_another_size_or_time_is_looked_at_again(folder, tmp_path):
    store, file = Store(tmp_path / "s" / "s.zarr"), folder / "2.png"
    write(store, folder)
    before = os.stat(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert len(scan_images(store, list_images(folder))) == 1
    file.write_bytes(file.read_bytes() + b"more")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert len(scan_images(store, list_images(folder))) == 1


def test_what_another_store_knows_of_files_is_taken_where_it_knows_what_is_to_be_said_of_them(folder, tmp_path):
    """Stores of before that know the reasons of bad files alone."""
    store, other, listed = Store(tmp_path / "s" / "s.zarr"), Store(tmp_path / "o" / "o.zarr"), list_images(folder)
    write(other, folder)
    assert scan_images(store, listed, others=[other]) == []
    shutil.rmtree(other.images.path / "remarks")
    (found,) = dask.compute(*scan_images(store, listed, others=[other]), scheduler="synchronous")
    assert [record.number for record in found] == [1, 2, 3]


def test_the_digest_of_the_table_is_of_names_and_contents(folder, tmp_path):
    digests = []
    for i, (old, new) in enumerate((("1.png", "1.png"), ("2.png", "5.png"), ("1.png", "5.png"))):
        (folder / new).write_bytes((folder / old).read_bytes())  # as it is, one more name, other bytes under it
        write(Store(tmp_path / "s" / f"{i}.zarr"), folder)
        digests.append(images_digest(Store(tmp_path / "s" / f"{i}.zarr")))
    assert len(set(digests)) == 3


def test_other_images_differ_in_the_digest_and_are_refused(folder, tmp_path):
    store = Store(tmp_path / "s" / "s.zarr")
    write(store, folder)
    first = images_digest(store)
    assert first.startswith("sha256:")
    refuse_other_images(store, list_images(folder))
    (folder / "2.png").unlink()
    with pytest.raises(StoreMismatchError, match=r"2 \(.*2\.png\) no longer exists"):
        refuse_other_images(store, list_images(folder))


def test_any_change_of_a_file_or_of_what_is_listed_is_noticed(folder, tmp_path):
    store = Store(tmp_path / "s" / "s.zarr")
    assert not same_images(store, list_images(folder))
    write(store, folder)
    listed = list_images(folder)
    assert same_images(store, listed)
    assert not same_images(store, listed[:-1])  # without the file that cannot be used
    assert not same_images(store, [*listed, listed[0]._replace(id="targets/5", file=str(folder / "5.png"))])
    for other in ({"id": "targets/x"}, {"role": "filler"}, {"number": 7}, {"columns": {"category": "sea"}}):
        assert not same_images(store, [listed[0]._replace(**other), *listed[1:]])
    for name in ("2.png", "4.png"):  # one that can be used, one that cannot
        before = os.stat(folder / name)
        os.utime(folder / name, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        assert not same_images(store, listed)
        os.utime(folder / name, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert same_images(store, listed)


def test_strict_names_the_first_image_that_cannot_be_used(folder, tmp_path):
    with pytest.raises(InputError, match=r"4\.png"):
        dask.compute(
            *scan_images(Store(tmp_path / "s.zarr"), list_images(folder), strict=True), scheduler="synchronous"
        )


def test_columns_of_a_table_get_names_that_a_store_can_hold():
    columns = {"category": "sea", "mean RT": "1", "width": "2", ".x": "3"}
    source = ImageSource("a/1", "a/1.jpg", "target", 1, columns)
    assert extra_columns([source]) == {"mean_RT": ["1"], "table_width": ["2"], "table_.x": ["3"]}
    assert extra_columns([]) == {}
