"""A real SLURM for the tests in this folder: the project's own test bed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TESTBED = Path(__file__).resolve().parents[2] / "cluster" / "testbed"
PROGRAMS = ("slurmctld", "slurmd", "munged", "mungekey", "sbatch", "squeue")
PACKAGES = "slurmctld slurmd slurm-client munge"


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """Folder of a running test bed; SLURM_CONF points to it."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        reason = f"SLURM is not installed ({', '.join(missing)}); on Debian: apt-get install {PACKAGES}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    folder = Path(tempfile.mkdtemp(prefix="tb-", dir="/tmp"))  # a short path: sockets lie in it
    before = {name: value for name, value in os.environ.items() if name.startswith("SLURM")}
    for name in before:
        del os.environ[name]
    try:
        up = subprocess.run([TESTBED / "up", folder, "--nodes", "2"], capture_output=True, text=True, timeout=60)
        assert up.returncode == 0, up.stderr
        os.environ["SLURM_CONF"] = up.stdout.strip().removeprefix("export SLURM_CONF=")
        yield folder
    finally:
        subprocess.run([TESTBED / "down", folder], check=True, timeout=60)
        os.environ.pop("SLURM_CONF", None)
        os.environ.update(before)
        shutil.rmtree(folder)


@pytest.fixture
def queue(slurm) -> Iterator[Callable[[], list[str]]]:
    """Ask for the ids of the jobs in the queue; at the end of the test there must be none."""
    yield jobs_in_queue
    left = jobs_in_queue()
    if left:
        subprocess.run(["scancel", *left], check=True)
        until(lambda: not jobs_in_queue())
    assert not left, f"left in the queue: {left}"


@pytest.fixture
def logs(slurm, tmp_path) -> Path:
    return tmp_path / "logs"


def jobs_in_queue() -> list[str]:
    answer = subprocess.run(["squeue", "-h", "-o", "%A"], capture_output=True, text=True, check=True)
    return answer.stdout.split()


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., None]:
    """Wait until something is true."""
    return until


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
