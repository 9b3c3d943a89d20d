"""A small study, its command line in processes of its own, and the bytes that an undisturbed run makes."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import psutil
import pytest

from distspc.cli.main import main
from distspc.testing.stores import relu_activations

LAYERS = {"fc2": 3000, "block5_pool": 5000}
N_TARGETS, N_FILLERS = 30, 50
WAIT_S = 120
ONE_WORKER = ("--set", "workers=1", "--set", "cores-per-worker=1")
STUDY = """\
store: store/study.zarr
report: report.html
activations: {activations}
layers: [fc2, block5_pool]
scores: {{file: {scores}, columns: [hit]}}
reconstruction: {{units: 100, codewords: 40, batches: 30, batch-size: 20, seeds: [0, 1]}}
relate: {{bootstrap: 20}}
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, standard output and error."""

    code: int
    out: str
    err: str


def session_of(pid):
    """Processes of a session that are alive, those that only wait to be reaped aside."""
    alive = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
        except (OSError, psutil.Error):
            continue
    return alive


class Study:
    """A study in a folder of its own; every command is a process of its own."""

    def __init__(self, folder):
        self.folder, self.file, self.store = folder, folder / "study.yaml", folder / "store/study.zarr"

    @classmethod
    def new(cls, folder, sources):
        """Write the study file."""
        study = cls(folder)
        study.store.parent.mkdir()
        study.file.write_text(STUDY.format(activations=sources / "Activations", scores=sources / "scores.csv"))
        return study

    def at(self, folder):
        """The same study, copied to another folder."""
        return type(self)(folder)

    def start(self, *arguments):
        """Start a command on the study; its first process is the leader of a session."""
        command = [sys.executable, "-m", "distspc", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # The last bits of sums depend on the number of threads: one each, wherever it is computed.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=self.folder, env=environment, start_new_session=True, **pipes)

    def end(self, process):
        """Wait for a command to end; nothing that it started may outlive it."""
        out, err = process.communicate(timeout=WAIT_S)
        deadline = time.monotonic() + 10
        while session_of(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert session_of(process.pid) == [], err
        return Ended(process.returncode, out, err)

    @staticmethod
    def workers_of(process):
        """Processes of Dask workers that a command has started."""
        workers = []
        for one in session_of(process.pid):
            with contextlib.suppress(psutil.Error):
                if "spawn_main" in " ".join(one.cmdline()):
                    workers.append(one)
        return workers

    def __call__(self, name, *arguments):
        """Run a command on the study to its end."""
        return self.end(self.start(name, self.file, *arguments))

    def run_on_a_process(self):
        """Run the study on one worker process."""
        return self.run(*ONE_WORKER)

    def run(self, *arguments):
        """Run the study, by default on one worker thread in the command's own process."""
        return self("run", *(arguments or (*ONE_WORKER, "--set", "processes=false")))

    def digests(self):
        """Digest of every chunk file of the store by its path."""
        files = [path for path in self.store.rglob("*") if path.is_file() and "c" in path.relative_to(self.store).parts]
        return {str(path.relative_to(self.store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def left_over(self):
        """What only a run under way may have beside or in its store."""
        beside = [path for path in (self.folder / "store").iterdir() if path.name != "study.zarr"]
        return beside + list(self.store.rglob("*.partial"))


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """Activations in the authors' layout and scores."""
    folder = tmp_path_factory.mktemp("sources")
    for i, (layer, n_features) in enumerate(LAYERS.items()):
        values = relu_activations(N_TARGETS + N_FILLERS, n_features, seed=i)
        for name, rows in (("Targets", values[:N_TARGETS]), ("Fillers", values[N_TARGETS:])):
            (folder / "Activations" / layer / name).mkdir(parents=True)
            for number, row in enumerate(rows, start=1):
                np.save(folder / "Activations" / layer / name / f"{number}.npy", row[None])
    lines = ["im_ind,hit", *(f"{i + 1},{0.3 + i / 80}" for i in range(N_TARGETS))]
    (folder / "scores.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory, sources):
    """The study after an undisturbed run; to be left as it is."""
    study = Study.new(tmp_path_factory.mktemp("finished"), sources)
    ended = study.run()
    assert ended.code == 0, ended.err
    return study


@pytest.fixture(scope="session")
def reference(finished):
    """Digests of the chunks of an undisturbed run."""
    return finished.digests()


@pytest.fixture(scope="session")
def study_type():
    """Makes studies: `study_type.new(folder, sources)`."""
    return Study


@pytest.fixture
def study(tmp_path, sources):
    """The study, not run yet."""
    return Study.new(tmp_path, sources)


@pytest.fixture
def command(monkeypatch, capsys):
    """Give a function that runs a command in this process; all that it computes, it computes here."""
    monkeypatch.setattr("distspc.pipeline.connections.Clusters.__call__", lambda self, stage: None)
    monkeypatch.setattr(
        "distspc.report.page.write_report",  # figures take seconds; the mark is what a study knows its page by
        lambda store, path, *, fingerprint, **_: path.write_text(f'content="{fingerprint}"'),
    )

    def run(*arguments):
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return Ended(code, *capsys.readouterr())

    handlers = logging.getLogger().handlers[:]
    yield run
    logging.getLogger().handlers[:] = handlers  # the command line's own writes to a stream that is gone


@pytest.fixture(scope="session")
def whole(tmp_path_factory, sources):
    """The study, run in this process; the last bits of sums depend on the number of threads."""
    from distspc.pipeline import run

    study = Study.new(tmp_path_factory.mktemp("whole"), sources)
    run.Study.from_file(study.file).run(None, stages=("extract", "distances", "reconstruct", "relate"))
    return study
