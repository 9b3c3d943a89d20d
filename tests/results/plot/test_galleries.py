"""Tests of: images at the ends of a measure, as thumbnails for the report: people look."""

from distspc.results.plot import galleries
from distspc.results.tidy import image_table, tidy_table
from distspc.store.store import Store
from tests.report.shared import make_study


def test_galleries_show_the_ends(tmp_path):
    store = make_study(tmp_path, scores=False)
    (tmp_path / "targets" / "1.jpg").unlink()
    (tmp_path / "targets" / "2.jpg").write_bytes(b"no image")
    table = tidy_table(store)
    most, least, hard, easy = galleries.find_extremes(table, image_table(Store(store)))
    part = table[table["layer"] == "block5_pool"].sort_values("distinctiveness")
    assert [target.name for target, _ in most.rows] == list(part["image"][::-1][:6])
    assert [target.name for target, _ in least.rows] == list(part["image"][:6])
    assert [other.name for _, other in least.rows] == list(part["neighbour"][:6])
    assert all(other is None for _, other in [*hard.rows, *easy.rows])
    assert most.has_pictures
    assert galleries.thumbnail(str(tmp_path / "targets" / "1.jpg")) == ""
    assert galleries.thumbnail(str(tmp_path / "targets" / "2.jpg")) == ""
    assert galleries.thumbnail(str(tmp_path / "targets" / "3.jpg")).startswith("data:image/jpeg;base64,")
