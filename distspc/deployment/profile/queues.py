"""The batch queues: their commands, and how each spells memory and walltime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from distspc.deployment.profile.quantities import lsf_seconds, walltime_seconds

QUEUES = ("slurm", "pbs", "lsf", "sge")


def queue_section(kind: str) -> str | None:
    """Which section of `jobqueue` a kind of cluster reads; None where it reads none."""
    return "slurm" if kind == "slurm-runner" else kind if kind in QUEUES else None


def walltime_reader(queue: str) -> Callable[[Any], int]:
    """Return the function that reads a walltime as this queue does, in seconds."""
    return lsf_seconds if queue == "lsf" else partial(walltime_seconds, days=queue not in ("pbs", "sge"))


SUBMIT_COMMANDS = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub", "sge": "qsub"}


def job_memory_mib(nbytes: int) -> int:
    """Memory to ask the queue for, in MiB: above the worker's own limit, so that its nanny acts first."""
    return -(-(nbytes + max(nbytes // 10, 2**29)) // 2**20)


def memory_keyword(kind: str, queue: Mapping[str, Any], cores: int, nbytes: int) -> dict[str, Any]:
    """Memory of a job as a queue's command spells it."""
    mib = job_memory_mib(nbytes)
    if kind == "slurm":
        return {"job_mem": queue.get("job-mem") or f"{mib}M"}
    if kind == "pbs" and not queue.get("resource-spec"):
        return {"resource_spec": f"select=1:ncpus={cores}:mem={mib}mb"}
    if kind == "lsf" and not queue.get("mem"):
        return {"mem": mib * 2**20}
    if kind == "sge" and not queue.get("resource-spec"):
        return {"resource_spec": f"h_vmem={-(-mib // cores)}M"}  # of each slot
    return {}
