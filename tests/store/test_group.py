"""Tests of: one group of the store: allocated, written in whole chunks, read, and what of it is done."""

import json
import os
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import distspc
from distspc.errors import InputError, StoreMismatchError
from distspc.report import provenance
from distspc.store.store import Store
from distspc.testing.stores import make_store

IDS = ["targets/1", "targets/2", "fillers/1"]


def allocate(path, *, layers=("fc2",), seeds=(0,), ids=IDS, recipe=None):
    Store(path).reconstruction.allocate(
        coords={"layer": list(layers), "seed": list(seeds), "image": ids},
        chunks={},
        recipe=recipe or {"units": 10},
    )


def test_grows_along_layer_and_seed_and_keeps_what_is_there(tmp_path):
    path = tmp_path / "s.zarr"
    allocate(path)
    Store(path).reconstruction.write("error", [1.0, 2.0, 3.0], layer=0, seed=0)
    allocate(path, layers=("fc1", "fc2"), seeds=(0, 5))
    assert Store(path).reconstruction.labels("layer") == ["fc2", "fc1"]
    assert Store(path).reconstruction.labels("seed") == [0, 5]
    assert Store(path).reconstruction.done("error")[:, :, 0].tolist() == [[True, False], [False, False]]
    assert Store(path).reconstruction.read("error", layer=0, seed=0).tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(Store(path).reconstruction.read("error", layer=1, seed=1)).all()


def test_labels_are_counted_up_to_the_first_that_is_lost(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=3, n_fillers=2, layers={"fc2": 4}, chunks={"image": 2})
    group = Store(tmp_path / "s.zarr").layer("fc2")
    assert group.n_intact("image") == len(group.intact_labels("image"))
    assert group.n_intact("feature") == 0
    for chunk in (group.path / "image/c").iterdir():
        chunk.unlink()
    assert group.n_intact("image") == len(group.intact_labels("image")) == 0


def test_other_recipe_is_refused_with_what_differs(tmp_path):
    allocate(tmp_path / "s.zarr")
    with pytest.raises(StoreMismatchError, match=r"units was 10, now 20.*--redo"):
        allocate(tmp_path / "s.zarr", recipe={"units": 20})


def test_other_images_are_refused(tmp_path):
    allocate(tmp_path / "s.zarr")
    with pytest.raises(StoreMismatchError, match="'fillers/1' then, 'fillers/2' now"):
        allocate(tmp_path / "s.zarr", ids=["targets/1", "targets/2", "fillers/2"])


def test_partial_chunks_are_refused(tmp_path):
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=4, n_fillers=6, layers={"fc2": 8}, chunks={"image": 4})
    with pytest.raises(ValueError, match="does not cover whole chunks of 4"):
        Store(path).layer("fc2").write("activation", np.zeros((3, 8)), image=slice(0, 3))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 7))
def test_any_chunking_gives_back_what_was_written(tmp_path_factory, n_images, n_features, image, feature):
    path = tmp_path_factory.mktemp("any") / "s.zarr"
    made = make_store(
        path, n_targets=n_images, n_fillers=0, layers={"fc2": n_features}, chunks={"image": image, "feature": feature}
    )["fc2"]
    assert np.array_equal(Store(path).layer("fc2").read("activation"), made)
    rows = np.arange(n_images)[::2]
    assert np.array_equal(Store(path).layer("fc2").read("activation", image=rows), made[rows])
    assert Store(path).layer("fc2").done("activation").all()


def test_all_zero_chunks_count_as_done(tmp_path):
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=2, n_fillers=0, layers={"fc2": 4}, activations={"fc2": np.zeros((2, 4), np.float32)})
    assert Store(path).layer("fc2").done("activation").all()


def test_results_open_lazily_with_units(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=1, layers={"fc2": 4})
    tree = Store(tmp_path / "s.zarr").open()
    activation = tree["activations/fc2"]["activation"]
    assert activation.dims == ("image", "feature")
    assert activation.chunks is not None
    assert activation.attrs["units"] == "1"
    assert tree["images"]["image"].values.tolist() == IDS


def test_reading_what_is_not_there_names_it(tmp_path):
    with pytest.raises(InputError, match="is not a store yet"):
        Store(tmp_path / "no.zarr").open()
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=1, layers={"fc2": 4})
    with pytest.raises(InputError, match="no 'distances'"):
        assert Store(tmp_path / "s.zarr").distances.sizes
    with pytest.raises(InputError, match="no image 'x'"):
        Store(tmp_path / "s.zarr").images.position("image", "x")


@pytest.mark.parametrize("content", [b"\xb7\x00", b"{", b"{}", b'{"zarr_format": 3, "node_type": "array"}'])
def test_damaged_metadata_is_named_with_a_way_out(tmp_path, content):
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=1, layers={"fc2": 4})
    where = tmp_path / "s.zarr/activations/fc2/activation/zarr.json"
    where.write_bytes(content)
    with pytest.raises(InputError, match=f"{where} is damaged .*: put it back from a copy, or delete"):
        Store(tmp_path / "s.zarr").layer("fc2").read("activation")


def test_a_region_is_read_into_an_array_in_its_type(tmp_path):
    made = make_store(tmp_path / "s.zarr", n_targets=4, n_fillers=3, layers={"fc2": 6}, chunks={"image": 2})["fc2"]
    out = np.full((9, 4), np.nan)
    Store(tmp_path / "s.zarr").layer("fc2").read("activation", out=out[2:5], image=slice(1, 4), feature=slice(2, 6))
    np.testing.assert_array_equal(out[2:5], made[1:4, 2:6])
    assert np.isnan(out[[0, 1, 5, 6, 7, 8]]).all()


def test_times_of_a_group_are_its_attributes_and_need_no_look_at_chunks(tmp_path):
    store = tmp_path / "s.zarr"
    allocate(store)
    start = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    Store(store).reconstruction.mark_written(start)
    Store(store).reconstruction.mark_written(datetime.now(UTC))
    first, last = Store(store).reconstruction.written
    assert first == start
    assert last > start
    assert Store(store).scores.written is None


def test_a_group_says_which_versions_wrote_it(tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    allocate(path)
    group = Store(path).reconstruction
    assert group.versions == [distspc.__version__]
    monkeypatch.setattr("distspc.store.group.VERSION", "9.0")
    for _ in range(2):
        group.mark_written(datetime.now(UTC))
    assert group.versions == [distspc.__version__, "9.0"]
    assert provenance.written([group]).endswith(f"by distspc {distspc.__version__}, 9.0")


def test_a_group_that_does_not_say_its_version_is_of_the_first(tmp_path):
    path = tmp_path / "s.zarr"
    allocate(path)
    settings = path / "reconstruction" / "zarr.json"
    known = json.loads(settings.read_text())
    del known["attributes"]["versions"]
    settings.write_text(json.dumps(known))
    group = Store(path).reconstruction
    assert group.versions == ["0.1.0"]
    group.mark_written(datetime.now(UTC))
    assert group.versions == ["0.1.0", distspc.__version__]


def test_a_store_from_before_times_were_kept_has_those_of_its_files(tmp_path):
    store = tmp_path / "s.zarr"
    allocate(store)
    first, last = Store(store).reconstruction.written
    assert abs((datetime.now(UTC) - last).total_seconds()) < 3600
    assert first <= last


def test_groups_and_times_of_a_store_do_not_depend_on_the_number_of_chunks(tmp_path, monkeypatch):
    path = tmp_path / "many.zarr"
    make_store(path, n_targets=3, n_fillers=2, layers={"fc2": 8, "fc1": 4})
    seen, looked, real = [], [], os.scandir
    for n in (1, 300):
        for i in range(n):
            chunk = path / "activations/fc2/activation/c" / str(i) / "0"
            chunk.parent.mkdir(exist_ok=True)
            chunk.touch()
        looked.clear()
        monkeypatch.setattr(os, "scandir", lambda folder=".": looked.append(folder) or real(folder))
        assert Store(path).groups() == ["activations/fc1", "activations/fc2", "images"]
        provenance.written([Store(path).layer("fc1"), Store(path).layer("fc2")])
        monkeypatch.undo()
        seen.append(len(looked))
    assert seen[0] == seen[1]


def test_a_group_that_a_full_disk_kept_from_its_variables_has_nothing_complete(tmp_path):
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=2, n_fillers=1, layers={"fc2": 4, "fc1": 4})
    group = Store(path).distances
    coords = {"layer": ["fc2", "fc1"], "target": ["targets/1", "targets/2"], "image": list("abc"), "neighbour": 1}
    group.allocate(coords=coords, chunks={}, recipe={})
    assert group.complete("layer").tolist() == [False, False]
    for name in set(os.listdir(group.path)) - {*coords, "zarr.json"}:
        (group.path / name / "zarr.json").unlink()  # the folder is made first
    assert group.complete("layer").tolist() == [False, False]
    assert group.sizes["layer"] == 2


def test_a_removal_that_is_cut_short_leaves_no_group(tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    allocate(path)

    def interrupted(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr("distspc.store.group.shutil.rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Store(path).reconstruction.remove()
    assert not Store(path).reconstruction.exists()


def test_a_chunk_of_nothing_but_missing_values_is_written_too(tmp_path):
    allocate(tmp_path / "s.zarr")
    group = Store(tmp_path / "s.zarr").reconstruction
    group.write("error", np.full(3, np.nan), layer=0, seed=0)
    assert group.done("error").all()
