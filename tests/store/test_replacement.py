"""A store that takes another's place: whole at every moment, whatever is killed."""

import os
import shutil
import threading

import pytest

from distspc.errors import StoreBusyError
from distspc.store import replacement
from distspc.store.replacement import (
    complete_replacement,
    earlier_store,
    is_half_replaced,
    put_in_place,
    read_whole,
    staged_store,
)
from distspc.store.store import Store
from distspc.testing.stores import make_store


@pytest.fixture
def store(tmp_path):
    """A store of 4 images, and beside it one of 6 that is to take its place."""
    made = Store(tmp_path / "s.zarr")
    make_store(made, n_targets=4, n_fillers=0, layers={"fc2": 3})
    make_store(staged_store(made), n_targets=6, n_fillers=0, layers={"fc2": 3})
    return made


def n_images(store):
    return len(store.images.labels("image"))


def test_the_new_store_is_in_the_place_of_the_old_and_nothing_is_left(store):
    earlier_store(store).path.mkdir()
    put_in_place(store)
    assert n_images(store) == 6
    assert [path.name for path in store.path.parent.iterdir()] == ["s.zarr"]


def test_a_link_to_a_store_stays_a_link(tmp_path, store):
    link = Store(tmp_path / "elsewhere" / "link.zarr")
    link.path.parent.mkdir()
    link.path.symlink_to(store.path)
    assert staged_store(link).path == staged_store(store).path
    put_in_place(link)
    assert link.path.is_symlink()
    assert n_images(link) == n_images(store) == 6


class Killed(BaseException):
    """What a killed process does not come to do."""


@pytest.mark.parametrize("n_steps", range(5))
def test_a_stop_at_any_step_leaves_one_whole_store_which_the_next_run_puts_in_place(store, monkeypatch, n_steps):
    done = []

    def counted(step):
        def maybe(*arguments, **named):
            if len(done) == n_steps:
                raise Killed
            done.append(step)
            return step(*arguments, **named)

        return maybe

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", counted(os.rename))
        patched.setattr(shutil, "rmtree", counted(shutil.rmtree))
        if n_steps < 3:
            with pytest.raises(Killed):
                put_in_place(store)
        else:
            put_in_place(store)
    complete_replacement(store)
    assert n_images(store) == (4 if n_steps == 0 else 6)
    assert not is_half_replaced(store)
    if n_steps:
        assert not staged_store(store).exists()


def test_a_reader_never_meets_half_of_each(store, tmp_path):
    make_store(tmp_path / "other.zarr", n_targets=4, n_fillers=0, layers={"fc2": 3})
    stop, wrong = threading.Event(), []

    def look():
        while not stop.is_set():
            found = read_whole(store, lambda: (n_images(store), store.layer("fc2").read("activation").shape[0]))
            if found[0] != found[1]:
                wrong.append(found)

    reader = threading.Thread(target=look)
    reader.start()
    for i in range(20):
        if i:
            make_store(staged_store(store), n_targets=4 + i % 2, n_fillers=0, layers={"fc2": 3})
        put_in_place(store)
    stop.set()
    reader.join()
    assert wrong == []


def test_what_a_stopped_run_left_between_is_named(store, monkeypatch):
    os.rename(store.path, f"{store.path}.replaced")
    monkeypatch.setattr(replacement, "PATIENCE_S", 0.05)
    with pytest.raises(StoreBusyError, match="to complete this"):
        read_whole(store, lambda: n_images(store))
    complete_replacement(store)
    assert read_whole(store, lambda: n_images(store)) == 6


def test_a_store_whose_successor_is_gone_is_put_back(store):
    os.rename(store.path, f"{store.path}.replaced")
    shutil.rmtree(staged_store(store).path)
    complete_replacement(store)
    assert n_images(store) == 4
    assert not is_half_replaced(store)


def test_what_was_read_while_the_store_was_replaced_is_read_again(store):
    found = []

    def look():
        found.append(n_images(store))
        if len(found) == 1:
            put_in_place(store)
        return found[-1]

    assert read_whole(store, look) == 6
    assert found == [4, 6]


def test_errors_of_reading_are_raised_where_the_store_is_the_same(store):
    with pytest.raises(KeyError):
        read_whole(store, lambda: {}["x"])
    assert read_whole(Store(store.path.with_name("none.zarr")), lambda: 1) == 1
