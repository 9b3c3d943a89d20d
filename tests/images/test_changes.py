"""What became of the images of a store, by the digest of their bytes."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from distspc.images.changes import find_changes, match_images
from distspc.images.listing import ImageRecord


def record(name, digest, *, role="target", category=""):
    return ImageRecord(f"{role}s/{name}", role, 1, f"/x/{role}s/{name}.png", category, 1, 1, digest=digest)


OLD = [record("a", "A"), record("b", "B"), record("c", "C"), record("d", "C")]


def test_the_same_images_differ_in_nothing():
    changes = find_changes(OLD, OLD)
    assert not changes
    assert (changes.counts, changes.n_kept) == ("", 4)


def test_each_kind_of_change_is_counted_and_named():
    new = [
        record("b", "B", category="sea"),
        record("a2", "A"),
        record("e", "E"),
        record("c", "X"),
        record("d", "D", role="filler"),
    ]
    changes = find_changes([*OLD[:3], record("d", "D")], new)
    assert changes.counts == "1 new, 1 renamed, 1 changed, 1 of another role, 1 of another category"
    assert "targets/a is now targets/a2 (/x/targets/a2.png)" in changes.details
    assert "targets/e (/x/targets/e.png) is new" in changes.details
    assert changes.sentence.endswith(": --update keeps the activations of 3 images")


def test_the_three_of_the_message():
    changes = find_changes(OLD, [record("a", "A"), record("c", "C"), record("c2", "C"), record("n", "N")])
    assert changes.sentence == "1 new, 1 gone, 1 renamed: --update keeps the activations of 3 images"


def test_other_bytes_under_a_name_have_changed_and_other_reasons_are_told():
    changes = find_changes(OLD[:2], [record("a", "Z")], {"/x/targets/b.png": "is empty"})
    assert changes.details == ["targets/b (/x/targets/b.png) is empty", "targets/a (/x/targets/a.png) has changed"]
    assert changes.sentence == "1 gone, 1 changed: --update keeps the activations of 0 images"


def test_another_order_alone_is_a_change():
    changes = find_changes(OLD[:2], OLD[1::-1])
    assert changes
    assert changes.counts == "in another order"
    assert changes.named == "they are in another order"


def test_files_with_the_same_bytes_go_together_by_name_first():
    assert match_images(OLD, [record("d", "C"), record("c", "C")]) == [3, 2]
    assert match_images(OLD, [record("x", "C"), record("d", "C"), record("y", "C")]) == [2, 3, None]
    assert match_images(OLD, [record("x", "C"), record("y", "C")]) == [2, 3]
    changes = find_changes(OLD, [*OLD, record("y", "C")])
    assert (changes.counts, changes.n_kept, changes.n_known) == ("1 new", 4, 5)


def test_files_without_a_digest_are_matched_by_name_alone():
    """Stores that were not made of files have none."""
    old = [record("a", ""), record("b", "")]
    assert match_images(old, [record("b", ""), record("c", "")]) == [1, None]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), unique_by=lambda pair: pair[0]), st.randoms())
def test_each_image_of_a_store_is_taken_at_most_once_and_all_that_can_are(pairs, random):
    old = [record(str(name), f"d{digest}") for name, digest in pairs]
    new = [replace(one, image=f"targets/{random.randint(0, 9)}{i}") for i, one in enumerate(old)]
    random.shuffle(new)
    found = match_images(old, new)
    assert sorted(found) == list(range(len(old)))
    assert all(old[i].digest == one.digest for i, one in zip(found, new, strict=True))
