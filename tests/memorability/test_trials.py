"""Scores from responses: what entries may be, what is refused, counted and said, and how reliable they are."""

import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.kernels.statistics import recognition
from distspc.memorability import trials
from distspc.memorability.options import RESPONSE_SCORES, TrialOptions
from tests.memorability.shared import written

WORDS = {"digits": ("1", "0"), "decimals": ("1.0", "0.0"), "truth": ("TRUE", "false"), "old": ("Old", "NEW")}
ROWS = [(s, f"{i}.jpg", old, (s * i + s) % 4 != 0 if old else (s * i) % 4 == 0) for s in (1, 2, 3) for i in range(1, 6)
        for old in (True, False)]  # fmt: skip


def text(rows=ROWS, words=("1", "0"), header="subject,image,old,response"):
    lines = [",".join([f"s{s}", image, words[not old], words[not said]]) for s, image, old, said in rows]
    return "\n".join([header, *lines]) + "\n"


def read(tmp_path, content, **options):
    path = written(tmp_path, content, "responses.csv")
    return trials.read_responses(path, image_column="image", options=TrialOptions(**options))


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_old_and_response_may_be_written_in_several_ways(tmp_path, words):
    found = read(tmp_path, text(words=words))
    table = pd.DataFrame(ROWS, columns=["subject", "image", "old", "response"])
    of_old = table[table["old"]].groupby("image")["response"]
    of_new = table[~table["old"]].groupby("image")["response"].mean()
    assert list(found.scores.columns) == list(RESPONSE_SCORES)
    np.testing.assert_allclose(found.scores["hit"], of_old.mean())
    np.testing.assert_allclose(found.scores["fa"], of_new)
    np.testing.assert_allclose(found.scores["corrected_hit"], of_old.mean() - of_new)
    assert (found.scores["n_responses"] == 6).all()
    assert found.n_subjects == 3
    assert found.scores.attrs["notices"] == []
    assert found.described().text.startswith(
        "The scores are made of 30 responses of 3 subjects to 5 images, 6 for each"
    )


def test_the_words_of_the_options_are_the_kernels():
    assert RESPONSE_SCORES[:-1] == recognition.RATES


def test_counts_by_image_give_the_same_scores(tmp_path):
    one_by_one = read(tmp_path, text()).scores
    table = pd.DataFrame(ROWS, columns=["subject", "image", "old", "response"])
    rows = ["picture,H,misses,false_alarms,CR"]
    for image, part in table.groupby("image"):
        old, new = part[part["old"]]["response"], part[~part["old"]]["response"]
        rows.append(f"{image},{old.sum()},{(~old).sum()},{new.sum()},{(~new).sum()}")
    path = written(tmp_path, "\n".join(rows) + "\n", "counts.csv")
    options = TrialOptions(hits="H", correct_rejections="CR", counts=True)
    found = trials.read_responses(path, image_column="picture", options=options)
    np.testing.assert_allclose(found.scores.to_numpy(), one_by_one.to_numpy())
    assert found.trials is None
    table, said = trials.reliability_table(found, range(5), {})
    assert table.empty
    assert "Counts by image have no split-half reliability" in said[0]


def test_counts_are_known_by_their_columns_alone(tmp_path):
    found = read(tmp_path, "image,hits,misses,false_alarms,correct_rejections\na,3,1,1,3\nb,4,0,0,4\n")
    assert found.trials is None
    np.testing.assert_allclose(found.scores["hit"], [0.75, 1.0])
    assert "to 2 images, 8 for each" in found.described().text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,old,response\na,1,1\n", "no column subject; it has image, old, response"),
        ("subject,image,old,response\n", "has a header but no rows"),
        (
            "subject,image,old,response\ns,a,1,1\ns,b,1,yes\n",
            "column response: 'yes' in line 3; expected 1 or 0, true or",
        ),
        (
            "subject,image,old,response\ns,a,2,1\n",
            "column old: '2' in line 2; expected 1 or 0, true or false, old or new",
        ),
        (
            "subject,image,old,response\ns,a,,1\n",
            "column old: empty in line 2; whether the image was old must be known",
        ),
        ("subject,image,old,response\ns,a,1,1\n,b,1,1\n", "column subject: empty in line 3; every row names"),
        ("subject,image,old,response\ns,,1,1\n", "column image: empty in line 2"),
        ("subject,image,old,response\ns,a,1,\n", "column response: no row has a response"),
        ("image,hits,misses,false_alarms,correct_rejections\na,3,-1,1,3\n", "column misses: not a count: -1 in line 2"),
        ("image,hits,misses,false_alarms,correct_rejections\na,0.7,1,1,3\n", "column hits: not a count: 0.7 in line 2"),
        ("image,hits,misses,false_alarms,correct_rejections\na,3,1,1,3\na,3,1,1,3\n", "occurs more than once: a"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, content)


def test_missing_responses_are_left_out_and_counted(tmp_path):
    content = text() + "s1,9.jpg,1,\ns2,9.jpg,1,-\ns3,9.jpg,1,1\n"
    path = written(tmp_path, content, "responses.csv")
    found = trials.read_responses(path, image_column="image", missing=["-"])
    assert f"responses {path}: 2 of 33 rows have no response: left out" in found.scores.attrs["notices"]
    assert found.scores.loc["9.jpg", "n_responses"] == 1
    assert found.scores.loc["9.jpg", "hit"] == 1


def test_repeated_trials_are_refused_with_a_way_out(tmp_path):
    content = text(ROWS[:4]) + "s1,1.jpg,1,0\n"  # subject 1 has 1.jpg as old in line 2 already
    with pytest.raises(
        InputError,
        match=r"several responses.*subject s1, image 1.jpg in line 6.*`duplicates: first`.*`duplicates: all`",
    ):
        read(tmp_path, content)
    first = read(tmp_path, content, duplicates="first").scores
    assert (first.loc["1.jpg", "n_responses"], first.loc["1.jpg", "hit"]) == (2, 1)
    assert "1 row repeats a subject and an image" in first.attrs["notices"][0]
    both = read(tmp_path, content, duplicates="all").scores
    assert (both.loc["1.jpg", "n_responses"], both.loc["1.jpg", "hit"]) == (3, 0.5)


def test_images_without_new_trials_have_no_false_alarms_and_are_named(tmp_path):
    rows = [row for row in ROWS if row[2] or row[1] != "5.jpg"]
    found, said = read(tmp_path, text(rows)).scores, []
    assert np.isnan(found.loc["5.jpg", ["fa", "corrected_hit", "dprime"]].astype(float)).all()
    assert found.loc["5.jpg", "hit"] > 0
    assert trials.related_scores(found, (), said, where="responses r") == ["hit", "fa", "corrected_hit", "dprime"]
    assert said == ["responses r: 1 image has no response while new, so no fa, corrected_hit, dprime: 5.jpg"]


def test_only_hits_leave_nothing_that_differs(tmp_path):
    hits = [(s, image, old, True) for s, image, old, _ in ROWS if old]
    found, said = read(tmp_path, text(hits)).scores, []
    with pytest.raises(
        InputError, match=r"no score is left to correlate: .*fewer than 4 images have it: fa.*the same for"
    ):
        trials.related_scores(found, (), said, where="responses r")
    said = []
    mixed = [(s, image, old, said_old or old) for s, image, old, said_old in ROWS]
    kept = trials.related_scores(read(tmp_path, text(mixed)).scores, (), said, where="responses r")
    assert kept == ["fa", "corrected_hit", "dprime"]
    assert said == ["responses r: left out, the same for all images: hit"]


def test_a_score_that_is_the_same_but_for_rounding_does_not_differ():
    rates = pd.DataFrame({"hit": [0.3, 0.4, 0.7, 0.9], "fa": [0.1, 0.2, 0.5, 0.7], "n_responses": 9})
    rates["corrected_hit"] = rates["hit"] - rates["fa"]
    assert 0 < np.ptp(rates["corrected_hit"]) < 1e-15
    said = []
    assert trials.related_scores(rates, ("hit", "fa", "corrected_hit"), said, where="r") == ["hit", "fa"]
    assert said == ["r: left out, the same for all images: corrected_hit"]


def test_reliability_is_of_the_images_that_are_related(tmp_path):
    rng = np.random.default_rng(0)
    chance = rng.beta(3, 2, 40)
    rows = [(s, f"{i}.jpg", True, rng.random() < chance[i]) for s in range(20) for i in range(40)]
    rows += [(s, f"f{i}.jpg", True, True) for s in range(20) for i in range(5)]
    found = read(tmp_path, text(rows))
    table, said = trials.reliability_table(found, range(40), {"hit": 0.5}, n_halves=100)
    row = table.set_index("score").loc["hit"]
    assert (row["n_subjects"], row["n_responses"], row["n_images"], row["n_halves"]) == (20, 800, 40, 100)
    assert row["reliability"] == pytest.approx(20 / 25, abs=0.1)
    assert row["used"] == 0.5
    assert "No split-half reliability of fa, corrected_hit, dprime" in said[0]
    assert (
        "Noise ceilings of hit rest on the reliability that the study names, 0.5; that of split halves is " in said[1]
    )
    alone, said = trials.reliability_table(read(tmp_path, text(ROWS[:10])), range(5), {})
    assert alone.empty
    assert said == ["A single subject responded to the targets: scores have no split-half reliability."]


def test_responses_are_taken_of_a_table_that_has_counts_beside_them(tmp_path):
    lines = text().strip().split("\n")
    counted = [lines[0] + ",hits,misses,false_alarms,correct_rejections", *(line + ",9,9,9,9" for line in lines[1:])]
    found = read(tmp_path, "\n".join(counted) + "\n")
    assert found.n_subjects == 3
    pd.testing.assert_frame_equal(found.scores, read(tmp_path, text()).scores)


def test_halves_that_do_not_agree_are_said(tmp_path):
    """Two subjects, one of whom recognises what the other does not."""
    rows = [(s, f"{i}.jpg", True, (i + s) % 2 == 0) for s in (1, 2) for i in range(8)]
    found = read(tmp_path, text(rows))
    table, said = trials.reliability_table(found, range(8), {}, n_halves=4)
    row = table.set_index("score").loc["hit"]
    assert row["half_r"] == pytest.approx(-1)
    assert row["used"] < -1e9
    assert any(sentence.startswith("The split-half reliability of hit is not above 0") for sentence in said)
    assert not any("of hit rest on" in sentence for sentence in said)
    _, named = trials.reliability_table(found, range(8), {"hit": 0.7}, n_halves=4)
    assert any("ceilings of hit rest on the reliability that the study names, 0.7" in sentence for sentence in named)
    assert not any("of hit is not above 0" in sentence for sentence in named)


@pytest.mark.parametrize(("n_both", "reliability"), [(2, -1), (3, 0), (4, 0.5)])
def test_a_reliability_that_is_not_above_zero_is_said(tmp_path, n_both, reliability):
    """Two subjects who each recognise six of twelve images, `n_both` of these the same."""
    said_old = [range(6), range(6 - n_both, 12 - n_both)]
    rows = [(s, f"{i}.jpg", True, i in said_old[s]) for s in (0, 1) for i in range(12)]
    table, said = trials.reliability_table(read(tmp_path, text(rows)), range(12), {}, n_halves=4)
    assert table.set_index("score").loc["hit", "reliability"] == pytest.approx(reliability, abs=1e-12)
    not_above = "The split-half reliability of hit is not above 0: the subjects' halves do not agree on it"
    assert any(sentence.startswith(not_above) for sentence in said) == (reliability <= 0)
