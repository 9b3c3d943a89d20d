"""Tests of: weight files: found or fetched, named by their digest, read by layer name, never trusted to run code."""

import functools
import hashlib
import http.server
import threading

import h5py
import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.files import weights
from distspc.extraction.network_spec import resolve_network
from tests.extraction.shared import write_legacy

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def test_layers_below_the_cut_need_not_be_there(tmp_path, legacy_content):
    path = write_legacy(tmp_path / "notop.h5", {k: v for k, v in legacy_content.items() if k.startswith("block")})
    shapes = {"block1_conv1": [(3, 3, 3, 64), (64,)]}
    ((name, values),) = weights.read_weights(path, shapes)
    assert name == "block1_conv1"
    np.testing.assert_array_equal(values[0], legacy_content["block1_conv1"][0])


def test_names_split_over_several_attributes_are_joined(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"a"], [b"b"]
        for name in "ab":
            file.create_group(name).attrs["weight_names0"] = [b"k"]
            file[name]["k"] = np.ones(2, np.float32)
    assert [n for n, _ in weights.read_weights(tmp_path / "w.h5", {"a": [(2,)], "b": [(2,)]})] == ["a", "b"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def release(tmp_path, monkeypatch, legacy_content):
    """A server on this machine that offers a weight file, and an empty cache."""
    folder = tmp_path / "release"
    folder.mkdir()
    file = write_legacy(folder / "hybrid.h5", {"block1_conv1": legacy_content["block1_conv1"]})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/hybrid.h5"
    monkeypatch.setitem(weights.DOWNLOADS, "hybrid1365", (url, None))
    monkeypatch.setenv("DISTSPC_CACHE", str(tmp_path / "cache"))
    yield file
    server.shutdown()
    thread.join()
    server.server_close()


def test_weights_are_fetched_once_and_their_digest_is_kept(release, tmp_path):
    digest = "sha256:" + hashlib.sha256(release.read_bytes()).hexdigest()
    path, found = weights.fetch_weights("hybrid1365")
    assert (path, found) == (tmp_path / "cache" / "hybrid.h5", digest)
    release.unlink()
    assert weights.fetch_weights("hybrid1365", digest.removeprefix("sha256:")) == (path, digest)
    with pytest.raises(InputError, match="expected 0000"):
        weights.fetch_weights("hybrid1365", "0" * 64)
    path.write_bytes(b"other")
    with pytest.raises(InputError, match=f"have digest sha256:.*, expected {digest}: remove the file"):
        weights.fetch_weights("hybrid1365")


def test_a_pinned_digest_is_checked_at_the_first_download(release):
    with pytest.raises(InputError, match="expected 0000"):
        weights.fetch_weights("hybrid1365", "0" * 64)


def test_a_published_hash_is_checked(release, monkeypatch):
    url = weights.DOWNLOADS["hybrid1365"][0]
    monkeypatch.setitem(weights.DOWNLOADS, "hybrid1365", (url, "md5:" + "0" * 32))
    with pytest.raises(InputError, match="hash of downloaded file"):
        weights.fetch_weights("hybrid1365")


def test_without_a_network_the_error_says_which_file_goes_where(tmp_path, monkeypatch):
    monkeypatch.setitem(weights.DOWNLOADS, "hybrid1365", ("http://127.0.0.1:9/hybrid.h5", None))
    monkeypatch.setenv("DISTSPC_CACHE", str(tmp_path / "cache"))
    where = str(tmp_path / "cache" / "hybrid.h5")
    with pytest.raises(InputError, match=f"Download http://127.0.0.1:9/hybrid.h5 yourself and put it at '{where}'"):
        resolve_network("hybrid1365", layers=["fc2"])


@pytest.mark.parametrize("preprocessing", ["auto", "raw"])
@pytest.mark.parametrize("weights", ["random", "vgg16:random"])
def test_vgg16_keeps_the_raw_input_of_the_paper(weights, preprocessing):
    recipe = resolve_network(weights, layers=("fc2",), preprocessing=preprocessing)
    assert recipe.described() == resolve_network("random", layers=("fc2",), preprocessing="raw").described()
    assert recipe.preprocessing == "raw"
    assert not recipe.doubts()


# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
