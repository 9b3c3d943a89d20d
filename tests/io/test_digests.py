"""Digests of large files: read once, known again while nothing touches the file, read again whatever touches it."""

import json
import os
import time

import pytest

from distspc.io import digests
from distspc.io.files import digest_of


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder; every file is large, and has been as it is for long."""
    monkeypatch.setenv("DISTSPC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "LARGE_NBYTES", 1)
    monkeypatch.setattr(digests, "SETTLED_NS", -1)
    new_process()
    return tmp_path / "cache" / "digests.json"


@pytest.fixture
def reads(monkeypatch):
    """Files whose content was read."""
    paths = []
    monkeypatch.setattr(digests, "digest_of", lambda path: paths.append(path.name) or digest_of(path))
    return paths


def new_process():
    digests.read_digest.cache_clear()
    digests.known_digest.cache_clear()


def known(path):
    return digests.known_digest(str(path), digests.signature_of(os.stat(path)))


def test_a_file_that_nothing_touches_is_read_once_by_all_processes(tmp_path, cache, reads):
    file = tmp_path / "w.h5"
    file.write_bytes(b"one")
    for _ in range(3):
        assert known(file) == digest_of(b"one")
        new_process()
    assert reads == ["w.h5"]


def overwrite(file):
    with file.open("r+b") as stream:
        stream.write(b"two")


def replace(file):
    other = file.with_name("other")
    other.write_bytes(b"two")
    os.replace(other, file)


@pytest.mark.parametrize("change", [overwrite, replace])
def test_other_content_of_the_same_size_and_time_is_noticed(tmp_path, cache, reads, change):
    file = tmp_path / "w.h5"
    file.write_bytes(b"one")
    before = os.stat(file)
    known(file)
    time.sleep(0.05)  # times of files go by ticks of up to 10 ms
    change(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(file).st_mtime_ns == before.st_mtime_ns
    new_process()
    assert known(file) == digest_of(b"two")
    assert len(reads) == 2


def test_a_file_that_was_written_just_now_is_not_kept(tmp_path, cache, reads, monkeypatch):
    monkeypatch.setattr(digests, "SETTLED_NS", 10**12)
    file = tmp_path / "w.h5"
    file.write_bytes(b"one")
    known(file)
    assert not cache.exists()
    new_process()
    known(file)
    assert len(reads) == 2


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path, cache, monkeypatch):
    file = tmp_path / "w.h5"
    file.write_bytes(b"one")

    def read(path):
        found = digest_of(path)
        time.sleep(0.05)
        overwrite(path)
        return found

    monkeypatch.setattr(digests, "digest_of", read)
    known(file)
    assert not cache.exists()


def test_small_files_are_not_kept(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(digests, "LARGE_NBYTES", 4)
    (tmp_path / "w.h5").write_bytes(b"one")
    assert known(tmp_path / "w.h5") == digest_of(b"one")
    assert not cache.exists()


def test_content_is_read_where_it_is_used_whatever_is_known(tmp_path, cache, reads):
    file = tmp_path / "w.h5"
    file.write_bytes(b"one")
    known(file)
    new_process()
    assert digests.read_digest(str(file), digests.signature_of(os.stat(file))) == digest_of(b"one")
    assert len(reads) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 10**6, '{"FILE": 1}', '{"FILE": {"signature": 1}}', "WRONG"])
def test_what_is_kept_may_be_damaged(tmp_path, cache, content):
    file = tmp_path / "w.h5"
    file.write_bytes(b"one")
    signature = digests.signature_of(os.stat(file))
    wrong = json.dumps({str(file): {"signature": signature, "digest": "sha256:1"}})
    cache.parent.mkdir()
    cache.write_text(content.replace("FILE", str(file)).replace("WRONG", wrong))
    assert known(file) == digest_of(b"one")
    new_process()
    assert json.loads(cache.read_text())[str(file)]["digest"] == digest_of(b"one")


def test_a_cache_that_cannot_be_written_is_none(tmp_path, cache):
    file = tmp_path / "w.h5"
    file.write_bytes(b"one")
    cache.parent.write_text("a file where the folder should be")
    assert known(file) == digest_of(b"one")


def test_the_files_read_last_are_kept(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(digests, "_MOST", 2)
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
        known(tmp_path / name)
        new_process()
    assert [os.path.basename(name) for name in json.loads(cache.read_text())] == ["b", "c"]
