"""Commands of data sets: a new study says what is left to do, and unknown sets are named."""

import pytest

from distspc.cli import main


def run(capsys, *arguments):
    try:
        main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return (code, *capsys.readouterr())


def test_init_writes_a_study_and_lists_what_is_left(tmp_path, capsys):
    code, out, _ = run(capsys, "init", tmp_path / "mine", "--dataset", "isola")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"study file: {tmp_path / 'mine' / 'study.yaml'}"
    assert (tmp_path / "mine" / "study.yaml").is_file()
    assert len(lines) > 1
    assert all(line.startswith("- ") for line in lines[1:])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["init", "new", "--dataset", "isolla"], "isolla"),
        (["fetch", "new", "--dataset", "isolla"], "isolla"),
        (["convert", "none.mat", "other.mat", "out"], "none.mat"),
    ],
)
def test_what_is_not_there_is_exit_code_2(arguments, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert list(tmp_path.iterdir()) == []
