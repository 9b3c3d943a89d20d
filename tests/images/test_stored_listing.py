"""Tasks that look at images name ranges; what goes to a worker is small, and reads its images from the store."""

import pickle

import dask
import numpy as np
import PIL.Image
from dask.base import collections_to_expr

from distspc.images.inventory import scan_images, write_images
from distspc.images.listing import ImageSource, list_images
from distspc.images.stored_listing import Listing, StoredListing
from distspc.store.store import Store
from distspc.tasks import refusals_as_values


def sources(n):
    return [ImageSource(f"fillers/{i}", "filler", i, f"/data/images/fillers/{i:08d}.jpg", {"a": "b"}) for i in range(n)]


def test_a_listing_is_written_when_it_leaves_the_process_and_once(tmp_path, monkeypatch):
    store, listed = Store(tmp_path / "s.zarr"), sources(10)
    listing = Listing(store, listed)
    assert listing.part(2, 4) == listed[2:4]
    assert not store.path.exists()
    sent = pickle.loads(pickle.dumps(listing))
    assert sent == StoredListing(store)
    assert sent.part(8, 10) == [source._replace(columns={}) for source in listed[8:10]]
    monkeypatch.setattr(Listing, "_write", None)
    assert pickle.loads(pickle.dumps(listing)) == sent
    assert pickle.loads(pickle.dumps(sent)) == sent


def test_a_listing_replaces_what_a_killed_run_left(tmp_path):
    store = Store(tmp_path / "s.zarr")
    pickle.dumps(Listing(store, sources(10)))
    sent = pickle.loads(pickle.dumps(Listing(store, sources(3))))
    assert [source.number for source in sent.part(0, 10)] == [0, 1, 2]


def test_the_graph_of_a_million_images_is_small(tmp_path):
    n = 64_000
    with refusals_as_values():
        tasks = scan_images(Store(tmp_path / "s.zarr"), sources(n))
    graph = collections_to_expr(tasks).optimize()
    nodes = [pickle.dumps(node, protocol=5) for node in graph.__dask_graph__().values()]
    assert len(nodes) == n / 64
    assert max(len(pickle.dumps(graph, protocol=5)), sum(map(len, nodes))) * 1_000_000 / n < 10 * 2**20


def test_tasks_that_were_sent_find_the_same_and_no_listing_is_left(tmp_path):
    for i in range(1, 4):
        PIL.Image.fromarray(np.full((4, 4, 3), 50 * i, np.uint8)).save(tmp_path / f"{i}.png")
    store, listed = Store(tmp_path / "s" / "s.zarr"), list_images(tmp_path)
    here = dask.compute(*scan_images(store, listed), scheduler="synchronous")
    sent = pickle.loads(pickle.dumps(scan_images(store, listed)))
    assert store.listing.exists()
    assert dask.compute(*sent, scheduler="synchronous") == here
    write_images(store, listed, here)
    assert not store.listing.exists()
    assert store.groups() == ["images"]
