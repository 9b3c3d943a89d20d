"""SLURM's commands, asked and understood."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

COMMAND_S = 60.0
"""Seconds that a command of SLURM may take."""


def clean_environment() -> dict[str, str]:
    """The environment to submit from: without what an allocation around this process says of itself."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", "SLURMD_", "PBS_", "LSB_")) or name == "SLURM_CONF" or name == "PBS_CONF_FILE"
    }


def sbatch_error(script: str) -> str | None:
    """SLURM's words against a job script; None where it would take it."""
    try:
        answer = subprocess.run(
            ["sbatch", "--test-only"],
            input=script,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            env=clean_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"sbatch did not answer within {COMMAND_S:.0f} s"
    return (
        None if answer.returncode == 0 else " ".join(answer.stderr.split()) or f"sbatch ended with {answer.returncode}"
    )


def run_squeue(fmt: str, job_ids: Iterable[str]) -> list[str]:
    """Lines of squeue about some jobs; none where it does not answer."""
    try:
        answer = subprocess.run(
            ["squeue", "--noheader", "--user", str(os.getuid()), "--format", fmt],
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            env=clean_environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    ours = set(job_ids)
    return [line for line in answer.stdout.splitlines() if line.split()[:1] and line.split()[0] in ours]
