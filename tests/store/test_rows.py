"""Rows of activations that other stores have."""

import numpy as np
import pytest

from distspc.store.format.chunks import activation_chunks
from distspc.store.rows import Donor, Origin, find_origin, link_rows, read_rows, source_names, sources_of, taken_from
from distspc.store.store import Store
from distspc.testing.stores import image_ids, make_store, write_image_table

N = 130  # three chunks of images, the last of two


@pytest.fixture
def donor(tmp_path):
    values = make_store(tmp_path / "a.zarr", n_targets=N, n_fillers=0, layers={"fc2": 7})["fc2"]
    return Donor(Store(tmp_path / "a.zarr"), "fc2", "a.zarr", is_before=True), values


def digests_of(donor):
    return donor.store.images.read("digest").tolist()


def test_rows_are_found_by_digest_and_the_first_store_that_has_one_gives_it(donor, tmp_path):
    one, _ = donor
    make_store(tmp_path / "b.zarr", n_targets=N + 3, n_fillers=0, layers={"fc2": 7})
    two = Donor(Store(tmp_path / "b.zarr"), "fc2", "b.zarr")
    digests = digests_of(two)
    found = find_origin([one, two], [digests[N + 1], "unknown", digests[5]])
    assert found.donor.tolist() == [1, -1, 0]
    assert found.row.tolist()[::2] == [N + 1, 5]


def test_rows_of_a_chunk_that_is_not_there_are_not_known(donor):
    one, _ = donor
    (one.group.path / "activation" / "c" / "1" / "0").unlink()
    known = find_origin([one], digests_of(one)).known
    assert known[:64].all()
    assert not known[64:128].any()
    assert known[128:].all()


def test_images_without_a_digest_are_not_known(donor):
    """Stores that were not made of files have none."""
    one, _ = donor
    one.store.images.write("digest", ["", *digests_of(one)[1:]])
    assert find_origin([one], ["", digests_of(one)[1]]).donor.tolist() == [-1, 0]


def read(origin, digests, n_features=7):
    out = np.zeros((len(digests), n_features), np.float32)
    lost = read_rows(origin, digests, [(slice(0, 4), out[:, :4]), (slice(4, 7), out[:, 4:])])
    return out, lost


def test_rows_are_read_in_any_order(donor):
    one, values = donor
    order = np.random.default_rng(0).permutation(N)
    digests = np.array(digests_of(one))[order].tolist()
    out, lost = read(find_origin([one], digests), digests)
    np.testing.assert_array_equal(out, values[order])
    assert lost == []


def test_a_damaged_or_vanished_chunk_and_another_image_are_lost_and_named(donor):
    one, values = donor
    digests = digests_of(one)
    origin = find_origin([one], digests)
    file = one.group.path / "activation" / "c" / "0" / "0"
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 255
    file.write_bytes(data)
    (one.group.path / "activation" / "c" / "2" / "0").unlink()
    out, lost = read(origin, digests)
    assert [(donor.name, images.tolist()) for donor, images in lost] == [
        ("a.zarr", list(range(64))),
        ("a.zarr", [128, 129]),
    ]
    np.testing.assert_array_equal(out[64:128], values[64:128])
    _, lost = read(origin.part(slice(64, 128)), ["another", *digests[65:128]])
    assert len(lost) == 1


def taker(tmp_path, n, dtype="float32"):
    store = Store(tmp_path / "taker.zarr")
    write_image_table(store, image_ids(n, 0), n)
    store.layer("fc2").allocate(
        coords={"image": image_ids(n, 0), "feature": 7},
        chunks=activation_chunks(n, 7),
        shards={"feature": 7},
        recipe={},
        dtypes={"activation": dtype},
        attrs={"shape": [7], "taken_from": ["x.zarr", "b.zarr"]},
    )
    return store.layer("fc2")


def test_whole_chunks_are_the_same_files(donor, tmp_path):
    one, values = donor
    group = taker(tmp_path, N)
    origin = find_origin([one], digests_of(one))
    for chunk, images in enumerate((slice(0, 64), slice(64, 128), slice(128, 130))):
        assert link_rows(group, chunk, origin.part(images))
    np.testing.assert_array_equal(group.read("activation"), values)
    files = [g.path / "activation" / "c" / "1" / "0" for g in (group, one.group)]
    assert files[0].stat().st_ino == files[1].stat().st_ino
    assert link_rows(group, 1, origin.part(slice(64, 128)))  # again, as after a stop
    assert [file.name for file in files[0].parent.iterdir()] == ["0"]


def test_chunks_of_another_type_or_of_another_study_are_not_linked(donor, tmp_path):
    one, _ = donor
    other = Donor(one.store, one.layer, one.name)
    origins = [find_origin([some], digests_of(one)).part(slice(0, 64)) for some in (one, other)]
    assert not link_rows(taker(tmp_path / "a", N, "float64"), 0, origins[0])
    group = taker(tmp_path / "b", N)
    assert not link_rows(group, 0, origins[1])
    assert link_rows(group, 0, origins[0])


@pytest.mark.parametrize(
    "rows",
    [np.arange(1, 65), np.arange(63, -1, -1), np.r_[64:127], np.r_[0:63]],
    ids=["moved", "turned", "cut", "less"],
)
def test_other_rows_than_those_of_a_whole_chunk_are_not_linked(donor, tmp_path, rows):
    one, _ = donor
    group = taker(tmp_path, N)
    assert not link_rows(group, 0, Origin((one,), np.zeros(len(rows), np.int16), rows.astype(np.int64)))


def test_where_rows_are_from_is_counted_and_stays_known(donor, tmp_path):
    one, _ = donor
    group = taker(tmp_path, N)
    other = Donor(one.store, "fc2", "b.zarr")
    assert source_names(group, [one, other]) == ["x.zarr", "b.zarr"]
    origin = find_origin([other], digests_of(one)).part(slice(0, 64))
    taken = np.arange(64) < 60
    group.write("source", sources_of(group, origin, taken), image=slice(0, 64))
    assert taken_from(group) == {"b.zarr": 60}
    assert taken_from(one.group) == {}
    assert sources_of(group, find_origin([one], digests_of(one)).part(slice(0, 64)), taken).tolist() == [-1] * 64
