"""`distspc init`: questions in a real terminal, each answer checked; options elsewhere."""

import os
import pty
import select
import subprocess
import sys

import pytest
import yaml

from distspc.cli import main
from distspc.study.file import StudyFile
from tests.datasets.shared import picture


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twelve images and their scores, as a spreadsheet wrote them."""
    for i in range(1, 13):
        picture(tmp_path / "my photos" / f"IMG {i}.JPG")
    lines = "".join(f"img {i};0,{i:02};{i}\r\n" for i in range(1, 13))
    (tmp_path / "scores.csv").write_text("Bild;Hit Rate;Age\r\n" + lines, encoding="utf-8-sig")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    try:
        main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return (code, *capsys.readouterr())


def in_terminal(arguments, answers, timeout=120):
    """Run the command at a pseudo-terminal, where answers are typed after their prompts; what it shows."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "distspc", *arguments]
    process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, start_new_session=True)
    os.close(end)
    shown, waiting = "", list(answers)
    while select.select([terminal], [], [], timeout)[0]:
        try:
            more = os.read(terminal, 4096).decode()
        except OSError:  # the end, on Linux
            more = ""
        if not more:
            break
        shown += more
        while waiting and waiting[0][0] in shown.rpartition("\n")[2]:
            os.write(terminal, f"{waiting.pop(0)[1]}\n".encode())
            shown += "\n"
    os.close(terminal)
    code = process.wait(timeout)
    assert not waiting, shown
    return code, shown


def test_a_terminal_is_asked_and_each_answer_is_checked(folder):
    code, shown = in_terminal(
        ["init"],
        [
            ("Folder of the study", "mine"),
            ("Folder of the images", "my fotos"),
            ("Folder of the images", "'my photos'"),
            ("(fillers)", ""),
            ("Table of scores", "score.csv"),
            ("Table of scores", "scores.csv"),
            ("Score columns", "Hit"),
            ("Score columns", "Hit Rate"),
            ("Network", "none.h5"),
            ("Network", "random"),
        ],
    )
    assert code == 0, shown
    for part in ("my fotos", "12 images in my photos", "there is no such file", "no column Hit", "run mine/study.yaml"):
        assert part in shown.replace("\r\n", " "), shown
    study = StudyFile.from_file(folder / "mine" / "study.yaml")
    assert study.scores.columns == ("Hit Rate",)
    assert study.model.weights == "random"
    assert study.images.targets.resolve() == folder / "my photos"


def test_columns_that_are_not_found_are_asked_for(folder):
    (folder / "odd.csv").write_text(
        "file,hit,nr\n" + "".join(f"IMG {i}.JPG,{'-' if i == 12 else i / 20},x\n" for i in range(1, 13))
    )
    code, shown = in_terminal(
        ["init", "mine"],
        [
            ("Folder of the images", "my photos"),
            ("(fillers)", ""),
            ("Table of scores", "odd.csv"),
            ("Column that names the images", "picture"),
            ("Column that names the images", ""),
            ("Entries that mean a missing", "-"),
            ("Score columns", ""),
            ("Network", "random"),
        ],
    )
    assert code == 0, shown
    scores = yaml.safe_load((folder / "mine" / "study.yaml").read_text())["scores"]
    assert scores == {"file": "../odd.csv", "image": "file", "columns": ["hit"], "missing": ["-"]}


def test_options_write_the_study_without_a_terminal(folder, capsys):
    code, out, _ = run(
        capsys,
        "init",
        "mine",
        "--from",
        "my photos",
        "--scores",
        "scores.csv",
        "--score",
        "Hit Rate",
        "--weights",
        "random",
    )
    assert code == 0
    assert out.splitlines()[0] == "study file: mine/study.yaml"
    assert out.splitlines()[-1] == "run it: distspc run mine/study.yaml"
    assert StudyFile.from_file(folder / "mine" / "study.yaml").scores.columns == ("Hit Rate",)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["init"], "name a folder for the study"),
        (["init", "mine", "--scores", "scores.csv"], "--scores: name the folder of the images too"),
        (["init", "mine", "--from", "my photos", "--score", "Age"], "--score: name the table of scores too"),
        (["init", "mine", "--from", "my photos", "--dataset", "things"], "--dataset things goes without --from"),
        (["init", "mine", "--from", "nowhere"], "nowhere"),
        (["init", "mine", "--from", "my photos", "--weights", "none.h5"], "none.h5"),
    ],
)
def test_options_that_do_not_fit_are_named(arguments, sentence, folder, capsys):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert not (folder / "mine").exists()
