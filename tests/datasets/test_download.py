"""Tests of: files of the data sets, downloaded."""

import hashlib

import pytest

from distspc.datasets import catalogue, download
from distspc.errors import InputError


@pytest.fixture
def small_isola(monkeypatch, tmp_path):
    """The data set with one small file that comes from a server of this test."""
    import http.server
    import threading

    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "scores.csv").write_bytes(b"im_ind,hit\n1,0.5\n")

    class Handler(http.server.SimpleHTTPRequestHandler):
        n_requests = 0

        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=tmp_path / "served", **kwargs)

        def do_GET(self):
            Handler.n_requests += 1
            super().do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    digest = hashlib.sha256(b"im_ind,hit\n1,0.5\n").hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/scores.csv"
    isola = catalogue.DATASETS["isola"]
    small = catalogue.Dataset(**{**isola.__dict__, "downloads": (catalogue.Download("s.csv", url, digest),)})
    monkeypatch.setitem(catalogue.DATASETS, "isola", small)
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_is_there_is_not_fetched_again(small_isola, tmp_path):
    (file,), by_hand = download.fetch("isola", tmp_path / "study")
    assert file == tmp_path / "study" / "s.csv"
    assert file.read_bytes().startswith(b"im_ind")
    assert "cvpr_memorability_data.zip" in by_hand[0]
    assert download.fetch("isola", tmp_path / "study")[0] == [file]
    assert small_isola.n_requests == 1
    file.write_bytes(b"cut sh")
    download.fetch("isola", tmp_path / "study")
    assert file.read_bytes().endswith(b"1,0.5\n")


def test_another_file_than_expected_is_refused(small_isola, tmp_path):
    (tmp_path / "served" / "scores.csv").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"cannot fetch s.csv .* yourself and put it at .*s.csv"):
        download.fetch("isola", tmp_path / "study")
    assert not (tmp_path / "study" / "s.csv").exists()


def test_nothing_to_fetch_is_said(tmp_path):
    files, by_hand = download.fetch("lamem", tmp_path)
    assert files == []
    assert "lamem.tar.gz" in by_hand[0]
