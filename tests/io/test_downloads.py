"""Tests of: files from the internet, checked against their published hash."""

import functools
import http.server
import threading

import pytest

from distspc.errors import InputError
from distspc.io.downloads import download
from distspc.io.files import digest_of


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and logs nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture
def url(tmp_path):
    """A file on a server of this test, which holds ``content``."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.bin").write_bytes(b"content")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "served"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/a.bin"
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_file_is_replaced_by_the_published_one(url, tmp_path):
    path = tmp_path / "cache" / "b.bin"
    assert download(url, path, known_hash=digest_of(b"content"), what="it").read_bytes() == b"content"
    path.write_bytes(b"other")
    assert download(url, path, known_hash=digest_of(b"content"), what="it").read_bytes() == b"content"


def test_without_a_published_hash_any_file_will_do(url, tmp_path):
    path = tmp_path / "b.bin"
    path.write_bytes(b"other")
    assert download(url, path, known_hash=None, what="it").read_bytes() == b"other"


def test_a_file_that_cannot_be_fetched_says_where_it_goes(url, tmp_path):
    path = tmp_path / "b.bin"
    with pytest.raises(InputError, match=rf"cannot fetch the scores .*Download {url} yourself and put it at '{path}'"):
        download(url, path, known_hash=digest_of(b"expected"), what="the scores")
    with pytest.raises(InputError, match=r"cannot fetch it \(ConnectionError"):
        download("http://127.0.0.1:9/a.bin", path, known_hash=None, what="it")
    assert not path.exists()
