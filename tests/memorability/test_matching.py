"""Every image gets its own score, or the command ends: names and numbers of all kinds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.errors import InputError
from distspc.images.listing import _sources
from distspc.memorability.matching import match_notices, match_scores
from distspc.memorability.two_tables import relate_tables


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


def test_notices_show_pairs_and_warn_above_a_tenth():
    images = listed(["a.png", "b.png"])
    notices = match_notices(match_scores(images, scores_of(["./q/../a.png", "c.png"])), images)
    assert notices[0].text == "Scores were matched to images by file name, such as a.png -> a.png."
    assert [(n.text, n.warning) for n in notices[1:]] == [
        ("1 targets have no score: targets/b.", True),
        ("1 rows of scores name no target: c.png.", True),
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


@pytest.mark.parametrize("name", ["{i}", "pic{i}", "pic{i}.png", "T/pic{i}.png", "./T/pic{i}.png", "T\\pic{i}.png"])
def test_results_of_a_study_join_its_scores_whatever_these_call_an_image(tmp_path, name):
    n, rng = 12, np.random.default_rng(0)
    measure, score = rng.normal(size=(2, n))
    images = range(1, n + 1)
    results = pd.DataFrame(
        {"image": [f"targets/pic{i}" for i in images], "file": [f"/data/T/pic{i}.png" for i in images], "layer": "fc2"}
    )
    results.assign(distinctiveness=measure).to_csv(tmp_path / "results.csv", index=False)
    rows = pd.DataFrame({"image": [name.format(i=i) for i in images], "mem": score}).sample(frac=1, random_state=1)
    rows.to_csv(tmp_path / "scores.csv", index=False)
    found = relate_tables(tmp_path / "results.csv", tmp_path / "scores.csv", by="image", n_bootstrap=20)
    assert found["n"].tolist() == [n]
    assert found["r"].item() == pytest.approx(np.corrcoef(measure, score)[0, 1])
