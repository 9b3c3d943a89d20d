"""Tests of `distspc.memorability.score_source`."""

from __future__ import annotations

import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.memorability.options import ScoreSource, TrialOptions
from distspc.memorability.score_source import described_responses, read_columns, read_source

RESPONSES = """\
subject,image,old,response,room
ann,1.png,1,1,a
ann,2.png,0,0,c
ann,3.png,1,1,d
ann,4.png,0,1,e
bob,1.png,0,0,a
bob,2.png,1,1,d
bob,3.png,0,1,e
bob,4.png,1,0,b
cid,1.png,1,1,a
cid,2.png,0,1,e
cid,3.png,1,0,b
cid,4.png,0,0,c
dan,1.png,0,0,a
dan,2.png,1,0,b
dan,3.png,0,1,c
dan,4.png,1,0,d
"""


@pytest.fixture
def trials(tmp_path):
    path = tmp_path / "responses.csv"
    path.write_text(RESPONSES)
    return ScoreSource(path, "image", ("hit", "fa"), (), TrialOptions())


def test_scores_are_read_from_their_table(tmp_path):
    path = tmp_path / "scores.csv"
    pd.DataFrame({"image": ["1.png", "2.png"], "hit": [0.25, 0.5]}).to_csv(path, index=False)
    found = read_source(ScoreSource(path, "image", ("hit",)))
    assert found.responses is None
    assert found.frame["hit"].tolist() == [0.25, 0.5]
    assert described_responses(ScoreSource(path, "image", ("hit",))) == []


def test_scores_are_made_of_responses(trials):
    found = read_source(trials)
    assert found.frame["hit"].tolist() == [1.0, 0.5, 0.5, 0.0]
    assert found.frame["fa"].tolist() == [0.0, 0.5, 1.0, 0.5]
    sentence, related, *_ = described_responses(trials)
    assert "4 subjects" in sentence
    assert related.startswith("correlated: ")


def test_columns_of_responses_are_those_that_are_the_same_in_all_rows_of_an_image(trials):
    columns = read_columns(trials)
    assert len(columns) == 4
    assert columns["image"].tolist() == ["1.png", "2.png", "3.png", "4.png"]
    assert "room" not in columns


def test_a_column_that_is_not_there_is_named(trials):
    with pytest.raises(InputError, match="answer"):
        read_source(ScoreSource(trials.file, "image", (), (), TrialOptions(response="answer")))
