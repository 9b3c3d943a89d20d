"""--quiet, --verbose and --log-file, before a command and behind it."""

import pytest

from distspc.cli import main
from distspc.cli.dialogue.speech import echo_text

STUDY = "store: study.zarr\nimages: {targets: Images}\nmodel: {weights: random}\nlayers: [fc2]\n"


def run(capsys, *arguments):
    try:
        main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return (code, *capsys.readouterr())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two small tables."""
    rows = [(f"{i}.jpg", i * i % 7, i % 5 / 5) for i in range(1, 13)]
    (tmp_path / "a.csv").write_text("image,size\n" + "".join(f"{a},{b}.5\n" for a, b, _ in rows))
    (tmp_path / "b.csv").write_text("image,hit,note\n" + "".join(f"{a},{c},x\n" for a, _, c in rows))
    (tmp_path / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


RELATE = ("relate", "--measures", "a.csv", "--scores", "b.csv", "--by", "image", "--bootstrap", "20")


@pytest.mark.parametrize("before", [True, False])
def test_quiet_leaves_what_was_asked_for_and_the_log_file_has_all(before, folder, capsys):
    options = ("--quiet", "--log-file", "run.log")
    _, loud, notes = run(capsys, *RELATE)
    code, out, err = run(capsys, *options, *RELATE) if before else run(capsys, *RELATE, *options)
    assert code == 0
    assert (out, err) == (loud, "")
    assert "Holm" in notes
    written = (folder / "run.log").read_text()
    assert all(line in written for line in notes.splitlines())
    assert "size" in written
    run(capsys, *RELATE, *options)
    assert len((folder / "run.log").read_text()) >= 2 * len(written)  # the next run adds its own


def test_what_was_done_is_not_said_when_quiet(folder, capsys):
    (folder / "photos").mkdir()
    code, out, err = run(capsys, "init", "mine", "--dataset", "isola", "--quiet", "--log-file", "run.log")
    assert (code, out, err) == (0, "", "")
    assert "study file: mine/study.yaml" in (folder / "run.log").read_text()


@pytest.mark.parametrize("command", ["run", "extract", "relate"])
def test_errors_are_said_when_quiet_and_logged(command, folder, capsys):
    code, out, err = run(capsys, command, "study.yaml", "--quiet", "--log-file", "run.log")
    assert (code, out) == (2, "")
    assert "--quiet" not in err
    assert err.splitlines()[-1].startswith("error: ")
    assert f"WARNING {err.splitlines()[-1]}" in (folder / "run.log").read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--quiet", "--verbose"], "choose one"),
        (["--log-file", "none/run.log"], "there is no folder"),
        (["--log-file", "."], "is a folder: name a file"),
    ],
)
def test_what_cannot_be_is_named(options, sentence, folder, capsys):
    for arguments in ([*options, "profiles"], ["profiles", *options]):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "")
        assert sentence in err


def test_text_goes_to_standard_output(capsys):
    echo_text("a line")
    assert capsys.readouterr() == ("a line\n", "")
