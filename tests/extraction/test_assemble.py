"""Chunks whose images other stores have in part: the same values as when all are computed."""

import dask
import numpy as np
import PIL.Image
import pytest

from distspc.extraction import build
from distspc.extraction.options import ExtractionOptions
from distspc.extraction.reuse import OtherStore
from distspc.images.inventory import scan_images, write_images
from distspc.images.listing import list_images
from distspc.store.rows import taken_from
from distspc.store.store import Store
from distspc.testing.small_network import write_network

LAYERS = ("edges", "top")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of images, a network, and a store of all of them."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(70):
        PIL.Image.fromarray(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(folder / "images" / f"{i}.png")
    write_network(folder / "n.onnx")
    extract(folder, Store(folder / "all.zarr"), slice(None))
    return folder


def extract(folder, store, images, others=(), layers=LAYERS):
    sources = list_images(folder / "images")[images]
    write_images(store, sources, dask.compute(*scan_images(store, sources), scheduler="synchronous"))
    options = ExtractionOptions(weights=str(folder / "n.onnx"))
    build.prepare(store, layers, options, others)
    return dask.compute(*build.tasks(store, layers, options, others), scheduler="synchronous")


def values(store, layer):
    return store.layer(layer).read("activation")


@pytest.mark.parametrize("known", [slice(5, 40), slice(2, 68)], ids=["some", "most"])
def test_rows_that_are_taken_and_rows_that_are_computed_are_those_of_a_whole_extraction(made, tmp_path, known):
    """Where most are known, the few new ones of both chunks pass through the network together."""
    part, store = Store(tmp_path / "part.zarr"), Store(tmp_path / "s.zarr")
    extract(made, part, known)
    lost = extract(made, store, slice(None), [OtherStore(part, "part.zarr")])
    assert [one for some in lost for one in some] == []
    for layer in LAYERS:
        np.testing.assert_array_equal(values(store, layer), values(Store(made / "all.zarr"), layer))
        assert taken_from(store.layer(layer)) == {"part.zarr": known.stop - known.start}


def test_an_image_that_lacks_a_layer_elsewhere_is_computed(made, tmp_path):
    part, store = Store(tmp_path / "part.zarr"), Store(tmp_path / "s.zarr")
    extract(made, part, slice(None), layers=("top",))
    extract(made, store, slice(None), [OtherStore(part, "part.zarr")])
    np.testing.assert_array_equal(values(store, "edges"), values(Store(made / "all.zarr"), "edges"))
    assert taken_from(store.layer("top")) == {}


def test_rows_that_are_damaged_elsewhere_are_computed_and_named(made, tmp_path):
    part, store = Store(tmp_path / "part.zarr"), Store(tmp_path / "s.zarr")
    extract(made, part, slice(None))
    for layer, chunk in (("edges", "0"), ("top", "1")):
        file = part.layer(layer).path / "activation" / "c" / chunk / "0"
        data = bytearray(file.read_bytes())
        data[100] ^= 255
        file.write_bytes(data)
    lost = extract(made, store, slice(None), [OtherStore(part, "part.zarr")])
    assert {tuple(one) for some in lost for one in some} == {("part.zarr", "edges", 64), ("part.zarr", "top", 6)}
    for layer in LAYERS:
        np.testing.assert_array_equal(values(store, layer), values(Store(made / "all.zarr"), layer))
    assert taken_from(store.layer("edges")) == {"part.zarr": 6}
    assert taken_from(store.layer("top")) == {"part.zarr": 64}
