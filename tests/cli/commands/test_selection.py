import json

import numpy as np
import pandas as pd
import pytest

from distspc.cli.commands.selection import spread_numbers
from distspc.cli.main import main
from tests.selection.shared import BY, images

BASE = ["select", "--by", BY[0], "--by", BY[1], "--per-cell", "6", "--gap", "0.1"]


@pytest.fixture
def measures(tmp_path):
    path = tmp_path / "measures.csv"
    images().to_csv(path)
    return path


def refused(capsys, arguments) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def run(arguments) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 0


def test_numbers_after_one_option():
    arguments = ["--durations", "34", "84", "167", "--blocks", "12", "study.yaml"]
    assert spread_numbers(arguments) == [
        *("--durations", "34", "--durations", "84", "--durations", "167"),
        *("--blocks", "12", "study.yaml"),
    ]


def test_a_table_becomes_a_set_with_trials_and_power(measures, tmp_path, capsys):
    output = tmp_path / "stimuli"
    trials = [
        "--trials",
        "rsvp",
        "--images-per-trial",
        "3",
        "--durations",
        "34",
        "84",
        "--blocks",
        "2",
        "--subjects",
        "4",
    ]
    power = ["--power", "--effect", "0.5", "--power-subjects", "5", "10", "--simulations", "20"]
    run([*BASE, "--measures", measures, "--match", "norm:fc2", "--output", output, *trials, *power])
    shown = capsys.readouterr().out
    assert "correlate at" in shown
    assert "norm:fc2" in shown
    assert "power of 20 simulated experiments" in shown
    assert len(pd.read_csv(output / "stimuli.csv")) == 24
    assert len(list((output / "trials" / "psychopy").iterdir())) == 4
    timeline = json.loads((output / "trials" / "jspsych" / "subject_01.json").read_text())
    streams = [node["timeline"][0] for node in timeline if "timeline" in node]
    assert {stream["trial_duration"] for stream in streams} == {34, 84}


def test_lists_of_images_are_heeded(measures, tmp_path):
    (tmp_path / "must.txt").write_text("image3\n\n image14 \n")
    (tmp_path / "not.txt").write_text("image5\n")
    lists = ["--must", tmp_path / "must.txt", "--exclude", tmp_path / "not.txt"]
    run([*BASE, "--measures", measures, "--output", tmp_path / "set", *lists])
    names = set(pd.read_csv(tmp_path / "set" / "stimuli.csv")["image"])
    assert {"image3", "image14"} <= names
    assert "image5" not in names


def test_cut_points_set_the_levels(measures, tmp_path):
    run(
        [
            *BASE[:3],
            "--per-cell",
            "6",
            "--measures",
            measures,
            "--cut",
            f"{BY[0]}=900,1100",
            "--output",
            tmp_path / "set",
        ]
    )
    values = pd.read_csv(tmp_path / "set" / "stimuli.csv")[BY[0]]
    assert not values.between(900.001, 1100).any()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--by", "normm"], "there is no measure 'normm'"),
        (["--match", "edge_densty"], "did you mean 'edge_density'"),
        (["--trials", "rvsp"], "--trials: expected rsvp, got 'rvsp'"),
        (["--power"], "--power needs an assumed --effect"),
        (["--power", "--effect", "nan"], "--effect: expected finite numbers, got 'nan'"),
        (["--power", "--effect", "1,2"], "--effect: expected one number, got '1,2'"),
        (["--power", "--effect", "fc9=1"], "--effect: there is no effect 'fc9'"),
        (["--power", "--effect", "1", "--power-subjects", "1"], "--power-subjects: expected at least 2, got 1"),
        (["--power", "--effect", "1", "--simulations", "0"], "--simulations: expected at least 1, got 0"),
        (["--power", "--trial-data", "nowhere.csv"], "--trial-data nowhere.csv: there is no such file"),
        (["--min-distance", "fc2=-1"], "--min-distance: expected a distance above 0, got '-1'"),
        (["--cut", "norm:fc2=nan"], "--cut: expected finite numbers"),
        (["--effect", "0.5"], "--effect has no effect without --power: add it, or leave --effect out"),
        (["--subjects", "50", "--blocks", "3"], "--blocks, --subjects has no effect without --trials"),
        (["--cut", "norm:fc2"], "expected a name and a value, NAME=VALUE"),
        (["--cut", "norm:fc2=a"], "--cut: 'a' is no number"),
        (["--must", "nowhere.txt"], "--must nowhere.txt: there is no such file"),
        (["--must", "/"], "--must /: is a folder; name a text file"),
        (["--exclude", __file__.replace(".py", ".pyc")], "there is no such file"),
        (["--trials", "rsvp", "--images-per-trial", "60"], "lower --images-per-trial or --per-cell"),
        (["--per-cell", "300"], "no set of 4 x 300 images: cell"),
    ],
)
def test_bad_input_is_one_sentence(measures, tmp_path, capsys, more, named):
    message = refused(capsys, [*BASE, "--measures", measures, "--output", tmp_path / "set", *more])
    assert named in message
    assert message.count("\n") == 1
    assert not (tmp_path / "set").exists()


def test_a_study_or_tables_but_not_both(measures, tmp_path, capsys):
    assert "not both" in refused(capsys, [*BASE, "--output", tmp_path / "set"])
    assert "not both" in refused(capsys, [*BASE, "study.yaml", "--measures", measures, "--output", tmp_path / "set"])
    arguments = [*BASE, "study.yaml", "--scores", measures, "--output", tmp_path / "set"]
    assert "--scores belongs to --measures" in refused(capsys, arguments)


def test_a_list_that_names_no_image(measures, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("imag3\n")
    arguments = [*BASE, "--measures", measures, "--output", tmp_path / "set", "--exclude", tmp_path / "list.txt"]
    assert "no image is called 'imag3'; did you mean 'image3'" in refused(capsys, arguments)


def test_trial_data_give_the_effects(measures, tmp_path, capsys):
    table = images()
    rng = np.random.default_rng(0)
    large = table[BY[0]] > table[BY[0]].median()
    rows = [
        {"subject": s, "image": name, "correct": int(rng.random() < (0.85 if large[name] else 0.55))}
        for s in range(6)
        for name in table.index[::4]
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "trials.csv", index=False)
    power = ["--power", "--trial-data", tmp_path / "trials.csv", "--power-subjects", "5", "--simulations", "10"]
    run([*BASE, "--measures", measures, "--output", tmp_path / "set", *power])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{BY[0]} ") and " 5 " in line)
    assert 0.8 < float(line.split()[1]) < 2.5
