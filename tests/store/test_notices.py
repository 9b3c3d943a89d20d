from distspc.store.notices import Notice, keep_notices, stored_notices
from distspc.store.store import Store


def test_notices_are_kept_replaced_and_cleared_with_their_group(tmp_path):
    store = tmp_path / "s.zarr"
    for group in ("images", "relations"):
        Store(store)[group].allocate(coords={}, chunks={}, recipe={"a": 1}, variables=[])
    keep_notices(
        Store(store).images, "orientation", [Notice("3 images carry an orientation; they are read as stored.")]
    )
    keep_notices(Store(store).relations, "scores", [Notice("2 scores name no image.", True)])
    assert [n.warning for n in stored_notices(Store(store), ["images", "relations", "distances"])] == [False, True]
    keep_notices(Store(store).relations, "scores", [])
    assert len(stored_notices(Store(store), ["images", "relations"])) == 1
    Store(store).images.remove()
    assert stored_notices(Store(store), ["images", "relations"]) == []
    assert Store(store).relations.attributes["recipe"] == {"a": 1}
