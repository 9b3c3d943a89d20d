"""The example for SLURM runs as it stands, on the test bed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slurm

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "slurm.py"


def test_the_example_runs_on_the_test_bed(queue, tmp_path):
    command = [sys.executable, EXAMPLE, tmp_path / "demo", "testbed", "testbed"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "#SBATCH -J demo" in done.stdout
    assert "ssh -N -L" in done.stdout
    assert "/proxy/" in done.stdout
    assert "block1_pool" in done.stdout.splitlines()[-1]
    assert queue() == []
