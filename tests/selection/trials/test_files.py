import json

import pandas as pd
import pytest

from distspc.selection.trials.files import jspsych_timeline, psychopy_conditions, write_trials
from distspc.selection.trials.lists import TrialDesign, choose_fillers, make_trials
from tests.selection.trials.test_lists import stimuli, streams

DESIGN = TrialDesign(images_per_trial=3, durations=(34, 84), blocks=2, subjects=4)


@pytest.fixture
def trials() -> pd.DataFrame:
    table = stimuli(4)
    return make_trials(table, choose_fillers([f"f{i}" for i in range(99)], list(table.index), DESIGN, 0), DESIGN)


def paths(trials):
    names = {name for column in [*streams(trials), "probe"] for name in trials[column]}
    return {name: f"cell/{name}.jpg" for name in names}


def test_psychopy_reads_a_row_per_trial_whose_columns_are_names_of_variables(trials):
    table = psychopy_conditions(trials[trials["subject"] == 1], paths(trials))
    assert len(table) == 16
    assert all(name.isidentifier() for name in table.columns)
    assert set(table.loc[table["probe_status"] == "old", "correct_key"]) == {"o"}
    assert (table["probe_file"] == "cell/" + table["probe"] + ".jpg").all()
    assert table["image_1"].str.startswith("cell/").all()


def test_jspsych_shows_each_stream_then_its_probe(trials):
    rows = trials[trials["subject"] == 2]
    timeline = jspsych_timeline(rows, paths(trials))
    assert timeline[0]["type"] == "jsPsychPreload"
    shown = [node for node in timeline if "timeline" in node]
    assert len(shown) == len(rows)
    assert sum(node["type"] == "jsPsychHtmlKeyboardResponse" for node in timeline if "type" in node) == 2
    for node, row in zip(shown, rows.to_dict("records"), strict=True):
        stream, probe = node["timeline"]
        assert stream["trial_duration"] == row["duration_ms"]
        assert [image["stimulus"] for image in stream["timeline"]] == [f"cell/{row[n]}.jpg" for n in streams(rows)]
        assert probe["stimulus"] == f"cell/{row['probe']}.jpg"
        assert probe["data"]["correct_key"] == row["probe_status"][0]
        assert set(timeline[0]["images"]) >= {probe["stimulus"]}


def test_every_subject_has_a_file_of_each_kind(trials, tmp_path):
    written = write_trials(trials, paths(trials), tmp_path)
    assert len(written) == 8
    for path in written:
        assert path.is_file()
    assert len(pd.read_csv(tmp_path / "psychopy" / "subject_03.csv")) == 16
    timeline = json.loads((tmp_path / "jspsych" / "subject_03.json").read_text())
    assert timeline[2]["timeline"][1]["data"]["subject"] == 3
