"""SLURM's commands, asked and understood."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

from distspc.deployment.profile.queues import QUEUES

COMMAND_S = 60.0
"""Seconds that a command of a queue may take."""


def clean_environment() -> dict[str, str]:
    """The environment to submit from: without what an allocation around this process says of itself."""
    prefixes = tuple(prefix for queue in QUEUES.values() for prefix in queue.variables)
    kept = {name for queue in QUEUES.values() for name in queue.kept_variables}
    return {name: value for name, value in os.environ.items() if name in kept or not name.startswith(prefixes)}


def sbatch_error(script: str) -> str | None:
    """SLURM's message against a job script; None where it would take it."""
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


def run_squeue(line_format: str = "%A") -> list[str] | None:
    """Lines of squeue about this user's jobs, from pending to completing; None where it does not answer."""
    try:
        answer = subprocess.run(
            ["squeue", "--noheader", "--user", str(os.getuid()), "--format", line_format],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=COMMAND_S,
            env=clean_environment(),
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.splitlines() if answer.returncode == 0 else None


def queued_jobs() -> set[str] | None:
    """Ids of this user's jobs that SLURM holds; None where it does not answer."""
    lines = run_squeue()
    return None if lines is None else {line.strip() for line in lines}


def queue_lines(job_ids: Iterable[str], line_format: str = "%A") -> list[str]:
    """Lines of squeue about some jobs, each begun by the job's id; none where it does not answer."""
    ours = set(job_ids)
    return [line for line in run_squeue(line_format) or [] if line.split()[:1] and line.split()[0] in ours]
