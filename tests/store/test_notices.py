"""Tests of `distspc.store.notices`."""

from distspc.store.notices import Notice, keep_notices, stored_notices
from distspc.store.store import Store


def test_notices_are_kept_replaced_and_cleared_with_their_group(tmp_path):
    own = Store(tmp_path / "s.zarr")
    for group in ("images", "relations"):
        own[group].allocate(coords={}, chunks={}, recipe={"a": 1}, variables=[])
    keep_notices(own.images, "orientation", [Notice("3 images carry an orientation; they are read as stored.")])
    keep_notices(own.relations, "scores", [Notice("2 scores name no image.", True)])
    assert [n.warning for n in stored_notices([own.images, own.relations, own.distances])] == [False, True]
    keep_notices(own.relations, "scores", [])
    assert len(stored_notices([own.images, own.relations])) == 1
    own.images.remove()
    assert stored_notices([own.images, own.relations]) == []
    assert own.relations.attributes["recipe"] == {"a": 1}
