"""Run the command line in this process, without a cluster, and see what it says and what it leaves behind."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from dataclasses import dataclass

import numpy as np
import pytest

from distspc.cli.main import main
from distspc.testing.stores import relu_activations

STUDY = """\
store: made/study.zarr
report: made/report.html
activations: Activations
layers: [fc2]
scores: {file: scores.csv, columns: [hit]}
reconstruction: {units: 12, codewords: 4, batches: 2, batch-size: 6}
relate: {bootstrap: 10}
"""
N_TARGETS, N_FILLERS, N_FEATURES = 8, 6, 24


@dataclass(frozen=True)
class Said:
    """What a command said: exit code, standard output and error."""

    code: int
    out: str
    err: str


def contents(folder):
    """Everything below a folder: the text of links, the digest of files, nothing for folders."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(parent, name)
            key = os.path.relpath(path, folder)
            if os.path.islink(path):
                found[key] = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as stream:
                    found[key] = hashlib.sha256(stream.read()).hexdigest()
            elif not os.path.isdir(path):
                found[key] = "special"
    return found


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Give a function that runs one command in `tmp_path`; all that it computes, it computes in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("distspc.pipeline.connections.Clusters.__call__", lambda self, stage: None)

    def run(*arguments):
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capsys.readouterr())

    handlers = logging.getLogger().handlers[:]
    yield run
    logging.getLogger().handlers[:] = handlers  # the command line's own writes to a stream that is gone


@pytest.fixture
def refused(command, tmp_path):
    """Give a function that checks that a command is refused in the expected words and changes nothing.

    Exit code 2, the sentence (a regular expression) on standard error, no traceback; every file that was there is
    there unchanged, and new ones are in folder `made` alone.
    """

    def check(arguments, sentence):
        before = contents(tmp_path)
        said = command(*arguments)
        after = contents(tmp_path)
        assert said.code == 2, said
        assert re.search(sentence, said.err), said.err
        assert "Traceback" not in said.err
        assert "--verbose" not in said.err  # where unexpected errors end
        assert {name: after.get(name) for name in before} == before
        assert [name for name in after if name not in before and not name.startswith("made/")] == []
        assert [name for name in after if name not in before and name.endswith((".lock", ".partial"))] == []
        return said

    return check


def _write_sources(folder):
    values = relu_activations(N_TARGETS + N_FILLERS, N_FEATURES)
    for name, rows in (("Targets", values[:N_TARGETS]), ("Fillers", values[N_TARGETS:])):
        (folder / "Activations/fc2" / name).mkdir(parents=True)
        for number, row in enumerate(rows, start=1):
            np.save(folder / "Activations/fc2" / name / f"{number}.npy", row[None])
    lines = ["im_ind,hit", *(f"{i + 1},{0.3 + i / 40}" for i in range(N_TARGETS))]
    (folder / "scores.csv").write_text("\n".join(lines) + "\n")
    (folder / "study.yaml").write_text(STUDY)


@pytest.fixture
def sources(tmp_path):
    """A folder with a good study of activations that has not been run."""
    _write_sources(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def _measured(tmp_path_factory):
    from distspc.pipeline.run import Study

    folder = tmp_path_factory.mktemp("measured")
    _write_sources(folder)
    Study.from_file(folder / "study.yaml").run(None, stages=("extract", "distances", "reconstruct"))
    return folder


@pytest.fixture
def measured(_measured, tmp_path):
    """A folder with a study whose measures are there; scores and report are not made yet."""
    shutil.copytree(_measured, tmp_path, dirs_exist_ok=True)
    return tmp_path
