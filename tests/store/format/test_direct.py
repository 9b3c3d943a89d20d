"""Files written past the cache: every byte, in order, of any length; disks that are full or take no direct writes."""

import errno
import fcntl
import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.store.format.direct import DirectFile

BLOCK = 8192


def written(path, parts, *, block_nbytes=BLOCK):
    file = DirectFile(path, block_nbytes=block_nbytes)
    try:
        positions = [(file.tell(), file.write(part)) for part in parts]
        file.finish()
    finally:
        file.close()
    return positions


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 100, 4095, 4096, 4097, 8191, 8192, 8193, 30_000]), max_size=6), st.integers(0, 9)
)
def test_what_is_written_is_there_to_the_byte(tmp_path_factory, lengths, seed):
    path = tmp_path_factory.mktemp("any") / "file"
    rng = np.random.default_rng(seed)
    parts = [rng.bytes(length) for length in lengths]
    positions = written(path, parts)
    assert path.read_bytes() == b"".join(parts)
    assert positions == [(sum(lengths[:i]), length) for i, length in enumerate(lengths)]


def test_arrays_are_taken_as_their_bytes(tmp_path):
    values = np.arange(3000, dtype=np.float32).reshape(30, 100)
    assert written(tmp_path / "file", [values]) == [(0, values.nbytes)]
    assert (tmp_path / "file").read_bytes() == values.tobytes()


def test_a_large_file_goes_past_the_cache_and_a_small_one_does_not(tmp_path, monkeypatch):
    seen, write = [], os.pwrite

    def watched(descriptor, data, position):
        direct = bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)
        seen.append((len(data), position, direct, threading.current_thread() is threading.main_thread()))
        return write(descriptor, data, position)

    monkeypatch.setattr(os, "pwrite", watched)
    written(tmp_path / "small", [bytes(BLOCK - 1)])
    assert seen == [(BLOCK - 1, 0, False, True)]
    seen.clear()
    written(tmp_path / "large", [bytes(BLOCK + 1)])
    direct = seen[0][2]  # not on every file system
    assert seen == [(BLOCK, 0, direct, False), (4096, BLOCK, direct, True)]
    assert (tmp_path / "large").stat().st_size == BLOCK + 1


def test_a_disk_that_takes_no_direct_writes_is_written_through_the_cache(tmp_path, monkeypatch):
    refused, write = [], os.pwrite

    def only_cached(descriptor, data, position):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            refused.append(position)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return write(descriptor, data, position)

    monkeypatch.setattr(os, "pwrite", only_cached)
    data = os.urandom(3 * BLOCK + 5)
    written(tmp_path / "file", [data])
    assert (tmp_path / "file").read_bytes() == data
    assert len(refused) <= 1  # once is enough to know


@pytest.mark.parametrize("n_bytes", [BLOCK - 1, BLOCK, 2 * BLOCK + 1, 9 * BLOCK])
def test_a_full_disk_is_told(n_bytes):
    with pytest.raises(OSError, match="No space left"):
        written("/dev/full", [bytes(n_bytes)])


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, position: write(descriptor, data[:4096], position))
    data = os.urandom(3 * BLOCK + 5)
    written(tmp_path / "file", [data])
    assert (tmp_path / "file").read_bytes() == data


def test_a_file_that_is_given_up_leaves_no_thread_and_no_open_file(tmp_path):
    before = set(os.listdir("/proc/self/fd"))
    file = DirectFile(tmp_path / "file", block_nbytes=BLOCK)
    file.write(bytes(5 * BLOCK))
    file.close()
    file.close()
    assert set(os.listdir("/proc/self/fd")) == before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("write")]
