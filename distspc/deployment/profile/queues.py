"""The batch queues: what each calls its commands and variables, and how it spells memory and walltime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from distspc.deployment.profile.quantities import walltime_seconds


@dataclass(frozen=True)
class Queue:
    """What distspc has to know of a batch queue.

    Attributes
    ----------
    name
        Its section of `jobqueue`.
    submit_command
        Command that submits a script.
    cluster_class
        Name of its cluster class in dask-jobqueue.
    account_key
        Key of its section that says whom to charge.
    walltime_seconds
        Reads a walltime as the queue does, in seconds; ValueError for what it would not read.
    memory_key
        Key of its section by which a user asks for memory in the queue's own words.
    memory_keywords
        Keywords for dask-jobqueue's job class that ask for some cores with some bytes of memory.
    script_from_stdin
        Whether the submit command reads the script from standard input.
    memory_per_slot
        Whether memory is asked for each core, not for the job.
    cores_key
        Keyword of dask-jobqueue that asks for cores even where the section says another number, if there is one.
    asks_for_cores
        Whether dask-jobqueue's directives ask for the cores; else `job-extra-directives` must.
    answers
        Whether distspc asks the queue about its jobs, watches over them and cancels them itself.
    warning_option
        Option that sends a job a signal some ``seconds`` before its walltime, where the queue has one; ``to`` is empty,
        or ``B:`` for the script itself.
    error_log
        Beginning of the directive that names a log for errors alone, where it can be left out.
    log_name
        Name of a log of a job, made of ``name`` and ``job_id``, where distspc knows it.
    variables
        Prefixes of the variables that an allocation of this queue sets.
    kept_variables
        Of these, the ones that say how to reach the queue.
    """

    name: str
    submit_command: str
    cluster_class: str
    account_key: str
    walltime_seconds: Callable[[Any], int]
    memory_key: str
    memory_keywords: Callable[[int, int], dict[str, Any]]
    script_from_stdin: bool = False
    memory_per_slot: bool = False
    cores_key: str | None = None
    asks_for_cores: bool = True
    answers: bool = False
    warning_option: str | None = None
    error_log: str | None = None
    log_name: str | None = None
    variables: tuple[str, ...] = ()
    kept_variables: tuple[str, ...] = ()

    def slots(self, cores: int) -> int:
        """Parts of a job that memory is asked for each: its cores, or one, the whole job."""
        return cores if self.memory_per_slot else 1


def _mib(nbytes: int) -> int:
    return nbytes // 2**20


QUEUES: dict[str, Queue] = {
    queue.name: queue
    for queue in (
        Queue(
            name="slurm",
            submit_command="sbatch",
            cluster_class="SLURMCluster",
            account_key="account",
            walltime_seconds=partial(walltime_seconds, form="d-h:m:s"),
            memory_key="job-mem",
            memory_keywords=lambda cores, nbytes: {"job_mem": f"{_mib(nbytes)}M"},
            answers=True,
            warning_option="--signal={to}TERM@{seconds}",
            error_log="#SBATCH -e",
            log_name="{name}-{job_id}.out",
            variables=("SLURM_", "SLURMD_"),
            kept_variables=("SLURM_CONF",),
        ),
        Queue(
            name="pbs",
            submit_command="qsub",
            cluster_class="PBSCluster",
            account_key="account",
            walltime_seconds=partial(walltime_seconds, form="h:m:s"),
            memory_key="resource-spec",
            memory_keywords=lambda cores, nbytes: {"resource_spec": f"select=1:ncpus={cores}:mem={_mib(nbytes)}mb"},
            variables=("PBS_",),
            kept_variables=("PBS_CONF_FILE",),
        ),
        Queue(
            name="lsf",
            submit_command="bsub",
            cluster_class="LSFCluster",
            account_key="project",
            walltime_seconds=partial(walltime_seconds, form="h:m"),
            memory_key="mem",
            memory_keywords=lambda cores, nbytes: {"mem": nbytes},
            script_from_stdin=True,
            cores_key="ncpus",
            variables=("LSB_",),
        ),
        Queue(
            name="sge",
            submit_command="qsub",
            cluster_class="SGECluster",
            account_key="project",
            walltime_seconds=partial(walltime_seconds, form="h:m:s"),
            memory_key="resource-spec",
            memory_keywords=lambda cores, nbytes: {"resource_spec": f"h_vmem={_mib(nbytes)}M"},
            memory_per_slot=True,
            asks_for_cores=False,
        ),
    )
}
"""Section of `jobqueue` to the queue that reads it."""


def queue_of(kind: str) -> Queue | None:
    """The queue that a kind of cluster submits to; None where it submits to none."""
    return QUEUES.get("slurm" if kind == "slurm-runner" else kind)


def job_memory_mib(nbytes: int) -> int:
    """Memory to ask the queue for, in MiB: above the worker's own limit, so that its nanny acts first."""
    return -(-(nbytes + max(nbytes // 10, 2**29)) // 2**20)


def worker_memory_keywords(queue: Queue, cores: int, nbytes: int) -> dict[str, Any]:
    """Keywords that ask for the memory of a job whose worker may take `nbytes`, rounded up."""
    per_slot_mib = -(-job_memory_mib(nbytes) // queue.slots(cores))
    return queue.memory_keywords(cores, per_slot_mib * 2**20)


def driver_memory_keywords(queue: Queue, cores: int, nbytes: int) -> dict[str, Any]:
    """Keywords that ask for the cores of the driver's job and for `nbytes` of memory, and no more."""
    keywords = {queue.cores_key: cores} if queue.cores_key else {}
    return keywords | queue.memory_keywords(cores, nbytes // queue.slots(cores))
