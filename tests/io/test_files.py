"""Files that users hand over: digests, reasons in words, and writing whole."""

import errno
import hashlib
import os
import re

import pytest

from distspc.errors import DistspcError, InputError
from distspc.io.files import (
    digest_of,
    explain_unwritable,
    hex_digest,
    irregularity,
    os_reason,
    room_at,
    written_whole,
)


def test_a_digest_names_its_algorithm():
    assert digest_of(b"abc") == "sha256:" + hashlib.sha256(b"abc").hexdigest()


def test_a_file_has_the_digest_of_its_content(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert hex_digest(tmp_path / "file") == hex_digest(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert digest_of(tmp_path / "file") == digest_of(b"abc")


def test_regular_files_alone_are_opened(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    assert irregularity(os.stat(tmp_path / "file")) == ""
    assert irregularity(os.stat(tmp_path)) == "is a folder"
    assert irregularity(os.stat(tmp_path / "pipe")) == "is not a regular file"


def test_what_the_system_has_against_a_path_is_said_in_words(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("x")
    for path, words in (("none", "does not exist"), ("loop", "is a loop of links"), ("file/x", "is not a folder")):
        with pytest.raises(OSError, match=re.escape(path.split("/")[0])) as caught:
            (tmp_path / path).read_bytes()
        assert os_reason(caught.value) == words
    assert os_reason(ValueError("embedded null byte")) == "cannot be read (embedded null byte)"


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    file = tmp_path / "new" / "a.bin"
    for content in (b"old", b"new"):
        with written_whole(file) as beside:
            beside.write_bytes(content)
            assert not file.exists() or file.read_bytes() == b"old"
    assert file.read_bytes() == b"new"
    with pytest.raises(RuntimeError, match="stop"):
        write_half(file)
    assert file.read_bytes() == b"new"
    assert [path.name for path in file.parent.iterdir()] == ["a.bin"]


def write_half(file):
    with written_whole(file) as beside:
        beside.write_bytes(b"half")
        raise RuntimeError("stop")


def test_the_room_at_a_place_that_is_not_there_is_that_of_its_disk(tmp_path):
    assert re.fullmatch(r"[\d.]+ [KMGTP]iB free of [\d.]+ [KMGTP]iB", room_at(tmp_path / "a" / "b"))


def test_a_disk_that_takes_nothing_is_told_with_the_way_out(tmp_path):
    place = str(tmp_path / "page")
    told = (
        rf"cannot write the page: no space left on the disk of {place} \(.* free of .*\): free some space, or leave it$"
    )
    with pytest.raises(DistspcError, match=told) as raised, explain_unwritable("the page", "leave it"):
        raise OSError(errno.ENOSPC, "No space left on device", place)
    assert not isinstance(raised.value, InputError)
    told = rf"cannot write the page \(Permission denied: {place}\): make the place writable, or leave it$"
    with pytest.raises(InputError, match=told), explain_unwritable("the page", "leave it"):
        raise OSError(errno.EACCES, "Permission denied", place)
    with pytest.raises(FileNotFoundError), explain_unwritable("the page", "leave it"):
        raise OSError(errno.ENOENT, "No such file", place)
