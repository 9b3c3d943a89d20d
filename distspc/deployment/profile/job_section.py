"""The section of `jobqueue` that a kind of cluster reads: what of it distspc itself acts on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, ValidationInfo, field_validator

from distspc.deployment.profile.quantities import Duration, Memory
from distspc.deployment.profile.queues import Queue
from distspc.io.yaml_files import Section

MAX_CORES = 4096

_JOB_MEMORY = re.compile(r"(\d+)([KMGT])")
_SLOTS = re.compile(r"\s*-pe\s+(\S+)\s+(\S+)\s*")


def _cores(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_CORES:
        raise ValueError(f"expected the cores of a job, a whole number from 1 to {MAX_CORES}")
    return value


def _one_process(value: Any) -> int:
    if value != 1:
        raise ValueError("expected 1, always: for more, raise `workers`")
    return 1


def _none_as_empty(value: Any) -> Any:
    return () if value is None else value


Lines = Annotated[tuple[str, ...], BeforeValidator(_none_as_empty)]


def _walltime(value: Any, info: ValidationInfo) -> Duration | None:
    return None if value is None else Duration(str(value), _queue(info).walltime_seconds(value))


def _queue(info: ValidationInfo) -> Queue:
    queue: Queue = (info.context or {})["queue"]
    return queue


class JobSection(Section):
    """What distspc reads of the section; the other keys are for dask-jobqueue, from Dask's configuration.

    It is validated with its queue: ``JobSection.model_validate(section, context={"queue": queue})``.

    Attributes
    ----------
    cores
        Cores of a job, all for its one worker.
    processes
        Always 1.
    memory
        Memory of the worker; the job asks for more.
    walltime
        Limit of the job, if it has one.
    job_mem, resource_spec, mem
        Memory of the job in the queue's own words, where the user gives it.
    interface
        Network between the nodes; None: the one of the host name.
    shared_temp_directory
        Folder for the certificates of a run; None: the one of the logs.
    worker_extra_args
        More options of ``dask worker``.
    job_extra_directives, job_directives_skip
        More directives of the job, and parts of those to leave out.
    job_script_prologue
        Shell lines before the worker.
    scheduler_options
        More keywords of Dask's scheduler.
    """

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    cores: Annotated[int, PlainValidator(_cores)] = Field(default=None, validate_default=True)
    processes: Annotated[int, PlainValidator(_one_process)] = 1
    memory: Annotated[Memory, PlainValidator(Memory.parse)] = Field(default=None, validate_default=True)
    walltime: Annotated[Duration | None, PlainValidator(_walltime)] = None
    job_mem: Any = None
    resource_spec: Any = None
    mem: Any = None
    interface: str | None = None
    shared_temp_directory: str | None = None
    worker_extra_args: Lines = ()
    job_extra_directives: Lines = Field(default=(), validate_default=True)
    job_directives_skip: Lines = ()
    job_script_prologue: Lines = ()
    scheduler_options: Annotated[Mapping[str, Any], BeforeValidator(lambda value: value or {})] = {}

    @field_validator("job_mem")
    @classmethod
    def _enough_for_the_worker(cls, value: Any, info: ValidationInfo) -> Any:
        memory = info.data.get("memory")
        if not value or memory is None:
            return value
        match = _JOB_MEMORY.fullmatch(str(value))
        if match is None:
            raise ValueError("expected a number with K, M, G or T, as sbatch --mem reads it")
        if int(match[1]) * 2 ** (10 * (1 + "KMGT".index(match[2]))) < memory.nbytes:
            raise ValueError(f"expected at least the worker's memory, '{memory}', or null")
        return value

    @field_validator("job_extra_directives")
    @classmethod
    def _slots_for_the_cores(cls, lines: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        cores = info.data.get("cores")
        if _queue(info).asks_for_cores or cores is None:
            return lines
        # Grid Engine knows cores only as slots of a parallel environment, whose name is the site's.
        requests = [match for line in lines if (match := _SLOTS.fullmatch(line))]
        if not requests and cores != 1 and not info.data.get("resource_spec"):
            raise ValueError(f"no line requests {cores} slots; add one such as '-pe smp {cores}'")
        for match in requests:
            if match[2] != str(cores):
                raise ValueError(
                    f"{match[0]!r} requests {match[2]} slots, and `cores` is {cores}; make it '-pe {match[1]} {cores}'"
                )
        return lines

    def queue_memory(self, queue: Queue) -> Any:
        """Memory of the job in this queue's own words; None where the section has none."""
        return getattr(self, queue.memory_key.replace("-", "_"))
