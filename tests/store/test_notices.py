from distspc.store import group as zarr_store
from distspc.store.notices import Notice, keep_notices, stored_notices


def test_notices_are_kept_replaced_and_cleared_with_their_group(tmp_path):
    store = tmp_path / "s.zarr"
    for group in ("images", "relations"):
        zarr_store.allocate(store, group, coords={}, chunks={}, recipe={"a": 1}, variables=[])
    keep_notices(store, "images", "orientation", [Notice("3 images carry an orientation; they are read as stored.")])
    keep_notices(store, "relations", "scores", [Notice("2 scores name no image.", True)])
    assert [n.warning for n in stored_notices(store, ["images", "relations", "distances"])] == [False, True]
    keep_notices(store, "relations", "scores", [])
    assert len(stored_notices(store, ["images", "relations"])) == 1
    zarr_store.remove(store, "images")
    assert stored_notices(store, ["images", "relations"]) == []
    assert zarr_store.attributes(store, "relations")["recipe"] == {"a": 1}
