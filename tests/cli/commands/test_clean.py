"""`distspc clean` as a user meets it: a list, a question, exit codes."""

import json

import pytest

from distspc.cli.main import main
from distspc.store.store import Store
from tests.pipeline.imported_study import content, make_study, write_activations


def run(*arguments, capsys):
    """Run the command line in this process; returns exit code, standard output and error."""
    try:
        main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return (code, *capsys.readouterr())


@pytest.fixture
def study(tmp_path):
    write_activations(tmp_path, {"fc2": 40, "fc1": 60})
    changes = {"layers": ["fc2", "fc1"], "scores": None}
    make_study(tmp_path, **changes).run()
    path = tmp_path / "study.yaml"
    path.write_text(json.dumps({key: value for key, value in content(**changes).items() if value is not None}))
    return path


def given_back(study):
    store = Store(study.parent / "s.zarr")
    return [layer for layer in store.layers() if store.layer(layer).given_back]


def test_without_options_it_lists_and_removes_nothing(study, capsys):
    code, out, err = run("clean", study, capsys=capsys)
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["kind", "name", "size", "note"]
    assert [line[:2] for line in lines[1:3]] == [["activations", "fc2"], ["activations", "fc1"]]
    assert out.splitlines()[-1] == "--activations gives it back"
    code, out, _ = run("clean", study, "--format", "json", capsys=capsys)
    rows = json.loads(out)
    assert [row["name"] for row in rows] == ["fc2", "fc1"]
    assert all(row["nbytes"] > 1000 for row in rows)
    assert given_back(study) == []


def test_nothing_goes_without_an_answer(study, capsys, monkeypatch):
    code, out, err = run("clean", study, "--activations", "fc2", capsys=capsys)
    assert code == 2
    assert "activations: fc2 (" in out
    assert "making the activations again: they come from" in out
    assert "there is no terminal to ask at: add --yes" in err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question: "Give back" not in question)
    code, out, _ = run("clean", study, "--activations", "fc2", capsys=capsys)
    assert code == 0
    assert out.endswith("Nothing was given back.\n")
    assert given_back(study) == []


def test_it_gives_back_what_is_named_and_the_study_is_done(study, capsys):
    code, out, _ = run("clean", study, "--activations", "fc2", "--yes", capsys=capsys)
    assert code == 0
    assert "gave back" in out
    assert given_back(study) == ["fc2"]
    code, out, _ = run("run", study, capsys=capsys)
    assert code == 0
    assert "Nothing to do" in out
    code, out, _ = run("status", study, capsys=capsys)
    assert [line.split()[:5] for line in out.splitlines()[1:3]] == [
        ["extract", "fc2", "done", "(given", "back"],
        ["extract", "fc1", "done"],
    ]
    code, out, _ = run("verify", study, capsys=capsys)
    assert (code, out) == (0, "0 damaged chunks\n")
    code, out, _ = run("clean", study, "--activations", "--yes", capsys=capsys)
    assert given_back(study) == ["fc1", "fc2"]
    code, out, _ = run("clean", study, "--activations", "--units", "--yes", capsys=capsys)
    assert (code, out) == (0, "Nothing to give back of these.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fc2"], "fc2: layers go with --activations"),
        (["--yes"], "--yes and --force go with --activations"),
        (["--activations", "fc9", "--yes"], "there are no activations of 'fc9'"),
    ],
)
def test_what_cannot_be_meant_is_refused(study, capsys, arguments, said):
    code, _, err = run("clean", study, *arguments, capsys=capsys)
    assert code == 2
    assert said in err
    assert given_back(study) == []


def test_a_stage_that_needs_them_says_how_to_have_them_again(study, capsys):
    run("clean", study, "--activations", "--yes", capsys=capsys)
    changed = json.loads(study.read_text())
    changed["reconstruction"]["seeds"] = [0, 1]
    study.write_text(json.dumps(changed))
    code, _, err = run("run", study, capsys=capsys)
    assert code == 2
    assert "reconstruct needs the activations of fc2, fc1" in err
    assert "distspc run STUDY.yaml --extract-again" in err
    code, _, err = run("reconstruct", study, "--extract-again", capsys=capsys)
    assert code == 2
    assert "--extract-again has no effect on `distspc reconstruct`" in err
    code, _, err = run("run", study, "--extract-again", "--set", "workers=1", capsys=capsys)
    assert code == 0, err
    assert given_back(study) == []
