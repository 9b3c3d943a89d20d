"""Every image gets its own score, or the command ends: names and numbers of all kinds."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.errors import InputError
from distspc.images.listing import _sources
from distspc.memorability import matching, scores
from distspc.memorability.matching import Match, match_notices, match_scores, unmatched_notices
from tests.memorability.shared import written


def images_of(files, numbers=None):
    ids = [f"targets/{Path(file).stem}" for file in files]
    return pd.DataFrame({"image": ids, "number": numbers or range(1, len(files) + 1), "file": files})


@pytest.mark.parametrize(
    ("entries", "files", "key"),
    [
        (["1", "2", "3"], ["/a/x.jpg", "/a/y.jpg", "/a/z.jpg"], "number"),
        (["x", "y", "z"], ["/a/x.jpg", "/a/y.jpg", "/a/z.jpg"], "stem"),
        (["x.jpg", "y.jpg", "z.jpg"], ["/a/x.jpg", "/a/y.jpg", "/a/z.jpg"], "file name"),
        (["c/1.jpg", "c/2.jpg", "d/1.jpg"], ["/a/c/1.jpg", "/a/c/2.jpg", "/a/d/1.jpg"], "path of 2 parts"),
        (["i/c/1.jpg", "i/c/2.jpg", "i/d/1.jpg"], ["/a/i/c/1.jpg", "/a/i/c/2.jpg", "/a/i/d/1.jpg"], "path of 3 parts"),
        (
            ["i\\c\\1.jpg", "i\\c\\2.jpg", "i\\d\\1.jpg"],
            ["/a/i/c/1.jpg", "/a/i/c/2.jpg", "/a/i/d/1.jpg"],
            "path of 3 parts",
        ),
        (["5.0", "6", "007"], ["/a/5.jpg", "/a/06.jpg", "/a/7.jpg"], "stem"),
        (["targets/x", "targets/y", "targets/z"], ["/a/x.jpg", "/a/y.jpg", "/a/z.jpg"], "id"),
    ],
)
def test_the_image_column_may_hold_any_name(tmp_path, entries, files, key):
    lines = "\n".join(f"{entry},{i}.5" for i, entry in enumerate(entries))
    path = written(tmp_path, f"who,score\n{lines}\n")
    match = matching.match_scores(images_of(files), scores.read_scores(path, image_column="who"))
    assert match.key == key
    assert list(match.frame["score"]) == [0.5, 1.5, 2.5]


def test_numbers_that_are_file_names_mean_the_files(tmp_path):
    path = written(tmp_path, "im_ind,score\n1,0.1\n2,0.2\n3,0.3\n4,0.4\n")
    match = matching.match_scores(
        images_of(["/a/2.jpg", "/a/3.jpg", "/a/4.jpg"]), scores.read_scores(path, image_column="im_ind")
    )
    assert match.key == "stem"
    assert list(match.frame["score"]) == [0.2, 0.3, 0.4]
    assert match.without_image == ("1",)


def test_partial_matches_are_counted_and_named(tmp_path, caplog):
    path = written(tmp_path, "who,score\nx,1\nq,2\ny,\n")
    with caplog.at_level(logging.WARNING):
        match = matching.match_scores(
            images_of(["/a/x.jpg", "/a/y.jpg", "/a/z.jpg"]), scores.read_scores(path, image_column="who")
        )
    assert match.without_score == ("targets/z",)
    assert match.without_image == ("q",)
    assert "1 target has no score: targets/z" in caplog.text
    assert "1 row of scores names no target: q" in caplog.text
    np.testing.assert_array_equal(match.frame["score"], [1.0, np.nan, np.nan])


def listed(names):
    sources = _sources([Path(f"/x/{name}") for name in names], [{}] * len(names), "target")
    return pd.DataFrame({"image": [s.id for s in sources], "number": [s.number for s in sources], "file": names})


def scores_of(entries):
    return pd.DataFrame({"mem": [float(i) for i in range(len(entries))]}, index=pd.Index(entries, name="who"))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_pair_is_right_or_it_is_an_error(data):
    numbers = data.draw(st.lists(st.integers(0, 30), min_size=2, max_size=12, unique=True))
    prefix = data.draw(st.sampled_from(["", "img", "a2_"]))
    width = data.draw(st.integers(1, 4))
    extra = data.draw(st.lists(st.integers(31, 40), max_size=3, unique=True))
    unreadable = data.draw(st.sets(st.sampled_from(numbers), max_size=len(numbers) - 1))
    images = listed(
        [*data.draw(st.sampled_from([[], ["stray.jpg"]])), *(f"{prefix}{n:0{width}d}.png" for n in numbers)]
    )
    truth = [None] * (len(images) - len(numbers)) + numbers
    good = [n not in unreadable for n in truth]
    rows = data.draw(st.permutations([*numbers, *extra]))
    scores = pd.DataFrame({"mem": [float(n) for n in rows]}, index=pd.Index([str(n) for n in rows], name="who"))
    skipped = images[[not g for g in good]]
    try:
        match = match_scores(images[good].reset_index(drop=True), scores, skipped=skipped)
    except InputError:
        return
    expected = [float("nan") if n is None else n for n, g in zip(truth, good, strict=True) if g]
    pd.testing.assert_series_equal(match.frame["mem"], pd.Series(expected, name="mem", dtype="float64"))


@pytest.mark.parametrize(
    ("files", "entries", "shown"),
    [
        (["/study/T/a.jpg", "/study/T/b.jpg"], ["b.jpg"], "b.jpg to b.jpg"),
        (["/study/T/a.jpg", "/study/U/b.jpg"], ["b.jpg"], "b.jpg to U/b.jpg"),
        (["/study/T/im1.jpg"], ["1"], "1 to im1.jpg"),
        (["T/a.jpg", "T/b.jpg"], ["T/a.jpg", "T/b.jpg"], "T/a.jpg to a.jpg"),
        (["a.jpg", "/study/U/b.jpg"], ["b.jpg"], "b.jpg to /study/U/b.jpg"),
    ],
)
def test_a_matched_file_is_shown_within_the_folder_of_all(files, entries, shown):
    images = listed(files)
    (rule, *_) = match_notices(match_scores(images, scores_of(entries)), images)
    assert rule.text.endswith(f", such as {shown}.")


def test_position_needs_all_numbers():
    images = listed(["x.png", "y.png", "z.png"])
    assert list(match_scores(images, scores_of(["1", "2", "3"])).frame["mem"]) == [0, 1, 2]
    with pytest.raises(InputError, match="nothing in common"):
        match_scores(images, scores_of(["1", "2"]))
    assert list(match_scores(images[1:], scores_of(["1", "2", "3"]), skipped=images[:1]).frame["mem"]) == [1, 2]


def test_two_readings_are_shown():
    with pytest.raises(InputError, match=r"ambiguous: by number in the name: img2\.png -> 2.*position: img2\.png -> 1"):
        match_scores(listed(["img2.png", "img3.png", "img4.png"]), scores_of(["1", "2", "3"]))


def test_names_in_nfc_and_the_way_out():
    match = match_scores(listed(["cafe\u0301.png", "b.png"]), scores_of(["caf\u00e9.png", "b.png"]))
    assert list(match.frame["mem"]) == [0, 1]
    with pytest.raises(InputError, match=r"A.png and a.png differ in case alone"):
        match_scores(listed(["a.png"]), scores_of(["A.png"]))


def test_notices_show_a_pair_and_warn_above_a_tenth():
    images = listed(["a.png", "b.png"])
    notices = match_notices(match_scores(images, scores_of(["./q/../a.png", "c.png"])), images)
    assert notices[0].text == "Scores were matched to images by file name, such as a.png to a.png."
    assert [(n.text, n.warning) for n in notices[1:]] == [
        ("1 target has no score: targets/b.", True),
        ("1 row of scores names no target: c.png.", True),
    ]


@pytest.mark.parametrize(
    ("file", "entry", "what"),
    [("Img_a.png", "img_a", "case"), ("Img_a.png", "img_a.png", "case"), ("img_a.png", "img_a.jpg", "file ending")],
)
def test_a_difference_in_case_or_ending_is_offered_as_the_way_out(file, entry, what):
    images = pd.DataFrame({"image": ["targets/a"], "number": [1], "file": [f"/x/{file}"]})
    scores = pd.DataFrame({"mem": [1.0]}, index=pd.Index([entry], name="image"))
    with pytest.raises(InputError, match=rf"{entry} and {file} differ in {what} alone: rename one of them"):
        match_scores(images, scores)


def frame_of(**scores_by_name):
    return pd.DataFrame({"score": list(scores_by_name.values())}, index=pd.Index(list(scores_by_name), name="who"))


def test_a_name_that_two_images_share_means_neither():
    images = pd.DataFrame(
        {"image": ["t/c/x", "t/d/x", "t/d/y"], "number": [1, 2, 3], "file": ["/a/c/x.jpg", "/a/d/x.jpg", "/a/d/y.jpg"]}
    )
    match = matching.find_match(images, frame_of(x=1.0, y=2.0))
    assert match.key == "stem"
    np.testing.assert_array_equal(match.frame["score"], [np.nan, np.nan, 2.0])
    assert match.without_image == ("x",)


def test_a_name_with_two_numbers_is_neither_of_them():
    images = images_of(["/a/im7.jpg", "/a/im8.jpg", "/a/im9_v2.jpg"])
    match = matching.find_match(images, frame_of(**{"7": 1.0, "8": 2.0, "9": 3.0}))
    assert match.key == "number in the name"
    np.testing.assert_array_equal(match.frame["score"], [1.0, 2.0, np.nan])


def test_two_rows_that_end_alike_mean_no_image():
    match = matching.find_match(
        images_of(["/a/x.jpg", "/a/y.jpg"]), frame_of(**{"../x.jpg": 1.0, "x.jpg": 2.0, "y.jpg": 3.0})
    )
    np.testing.assert_array_equal(match.frame["score"], [np.nan, 3.0])


def test_positions_need_the_numbers_of_the_images_to_be_all_from_1():
    images = images_of(["/a/x.jpg", "/a/y.jpg"], numbers=[2, 3])
    with pytest.raises(matching.UnmatchedError):
        matching.find_match(images, frame_of(**{"1": 1.0, "2": 2.0}))


def test_a_second_rule_that_fits_an_image_the_first_leaves_out_is_shown():
    images = images_of(["/a/x.jpg", "/a/y.jpg", "/a/im5.jpg"])
    with pytest.raises(InputError, match=r"ambiguous: by file name: .*; by number in the name: im5.jpg -> 5"):
        matching.find_match(images, frame_of(**{"x.jpg": 1.0, "y.jpg": 2.0, "5": 3.0}))


def test_rows_that_name_the_same_image_are_refused():
    with pytest.raises(InputError, match="rows that name the same image: 5"):
        matching.find_match(images_of(["/a/5.jpg", "/a/6.jpg"]), frame_of(**{"5": 1.0, "05": 2.0, "6": 3.0}))


@pytest.mark.parametrize(("n", "warning"), [(10, False), (9, True)])
def test_more_than_a_tenth_without_a_partner_is_a_warning(n, warning):
    match = Match("stem", pd.DataFrame(), without_score=("targets/1",), without_image=("x",))
    notices = unmatched_notices(match, n, n, "score")
    assert [notice.text for notice in notices] == [
        "1 target has no score: targets/1.",
        "1 row of scores names no target: x.",
    ]
    assert [notice.warning for notice in notices] == [warning] * 2
