"""The command: version, help, exit codes of errors, in the order in which commands are used."""

import re

import pytest

from distspc import __version__
from distspc.cli import main
from distspc.errors import DistspcError, InputError


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return (int(end.value.code or 0), *capsys.readouterr())


def test_version_and_help(capsys):
    assert run(capsys, "--version") == (0, f"distspc {__version__}\n", "")
    code, out, _ = run(capsys, "--help")
    assert code == 0
    names = ["run", "extract", "distances", "reconstruct", "relate", "report", "status", "check", "plan", "export"]
    names += ["layers", "select", "verify", "profiles", "job-script", "submit", "init", "fetch", "convert", "demo"]
    names += ["clean", "measures", "readout", "score"]
    listed = re.findall(r"^│ ([a-z][\w-]*) ", out, re.MULTILINE)
    assert sorted(listed) == sorted(names)
    assert listed[0] == "run"


@pytest.mark.parametrize(
    ("error", "code"), [(InputError("no such thing"), 2), (DistspcError("lost"), 1), (RuntimeError("odd"), 1)]
)
def test_exit_codes_say_who_has_to_act(error, code, capsys, monkeypatch, tmp_path):
    def fail(*_):
        raise error

    monkeypatch.setattr("distspc.study.file.StudyFile.from_file", fail)
    ended, out, err = run(capsys, "status", str(tmp_path / "study.yaml"))
    assert ended == code
    assert out == ""
    assert err.startswith("error: ")
    assert str(error) in err
    assert "Traceback" not in err


def test_an_interrupt_says_how_to_go_on(capsys, monkeypatch, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("distspc.study.file.StudyFile.from_file", stop)
    code, _, err = run(capsys, "status", str(tmp_path / "study.yaml"))
    assert code == 130
    assert "run the same command again to continue" in err
