"""Checks of what a profile says: its sections, Dask's own keys, the job of a batch queue."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from distspc.deployment.profile.quantities import memory_nbytes
from distspc.deployment.profile.queues import QUEUES, queue_section, walltime_reader
from distspc.errors import InputError
from distspc.messages import unknown_key

SECTIONS = ("distspc", "distributed", "jobqueue", "logging")
RENAMED = {"extra", "env-extra", "job-extra", "header-skip", "project"}
"""Keys that dask-jobqueue has renamed and warns about (`project` still stands for LSF and SGE)."""
LEAST_MEMORY_NBYTES = 2**28
MOST_MEMORY_NBYTES = 2**46


def plausible_memory(value: str) -> str:
    """Pass on a memory that a worker can have; ValueError for others."""
    nbytes = memory_nbytes(value)
    if not LEAST_MEMORY_NBYTES <= nbytes <= MOST_MEMORY_NBYTES:
        raise ValueError("a worker needs between 0.25 GiB and 64 TiB")
    return value


def unknown_sections(content: Mapping[str, Any]) -> Iterator[str]:
    """Name the top-level keys that are no section of a profile."""
    for key in content:
        if key not in SECTIONS:
            yield f"{key}: unknown section; allowed are {', '.join(SECTIONS)}"
        elif content[key] is not None and not isinstance(content[key], dict):
            yield f"{key}: {content[key]!r} is not possible; it should be a mapping"


def unknown_distributed(section: Any) -> Iterator[str]:
    """Name the keys of section `distributed` that Dask does not know."""
    import dask
    import distributed  # noqa: F401  (fills in Dask's defaults)

    known: dict[str, Any] = {}
    for defaults in dask.config.defaults:
        dask.config.update(known, {"distributed": defaults.get("distributed") or {}})
    yield from _unknown_in(section, known["distributed"], "distributed")


def _unknown_in(section: Any, known: Any, prefix: str) -> Iterator[str]:
    # A key whose default is empty or a plain value holds whatever the user puts there.
    if not isinstance(known, dict) or not known or prefix.endswith("environ"):
        return
    if not isinstance(section, dict):
        yield f"{prefix}: {section!r} is not possible; it should be a mapping"
        return
    allowed = {key.replace("_", "-"): value for key, value in known.items()}
    for key, value in section.items():
        if str(key).replace("_", "-") in allowed:
            yield from _unknown_in(value, allowed[str(key).replace("_", "-")], f"{prefix}.{key}")
        else:
            yield unknown_key(f"{prefix}.{key}", list(allowed))


@cache
def _queue_defaults() -> dict[str, dict[str, Any]]:
    # Read beside the package, not imported: importing dask_jobqueue changes how Ctrl-C is handled.
    spec = find_spec("dask_jobqueue")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the package dask-jobqueue is not installed; `pip install dask-jobqueue`")
    file = Path(spec.submodule_search_locations[0]) / "jobqueue.yaml"
    return dict(yaml.safe_load(file.read_text(encoding="utf-8"))["jobqueue"])


def queue_keys(kind: str) -> list[str]:
    """Keys that the section `jobqueue.<kind>` may have."""
    renamed = RENAMED if kind in ("slurm", "pbs") else RENAMED - {"project"}
    return [key for key in _queue_defaults()[kind] if key not in renamed]


def queue_problems(jobqueue: Any, kind: str | None) -> Iterator[str]:
    """Name what is wrong in section `jobqueue`, for the kind of cluster that is to read it."""
    if not isinstance(jobqueue, dict):
        return
    for name, section in jobqueue.items():
        if name not in QUEUES:
            yield unknown_key(f"jobqueue.{name}", list(QUEUES))
        elif not isinstance(section, dict):
            yield f"jobqueue.{name}: {section!r} is not possible; it should be a mapping"
        else:
            allowed = queue_keys(name)
            yield from (unknown_key(f"jobqueue.{name}.{key}", allowed) for key in section if key not in allowed)
    reader = queue_section(kind or "")
    if reader is not None:
        section = jobqueue.get(reader)
        yield from _job_problems(reader, section if isinstance(section, dict) else {})


def driver_problems(walltime: Any, kind: str) -> Iterator[str]:
    """Name what is wrong in the driver's walltime, for the kind of cluster that is to read it."""
    queue = queue_section(kind)
    if queue is not None:
        yield from _trouble("distspc.driver.walltime", walltime, walltime_reader(queue), optional=True)


def _job_problems(kind: str, section: Mapping[str, Any]) -> Iterator[str]:
    where = f"jobqueue.{kind}"
    cores = section.get("cores")
    if not isinstance(cores, int) or isinstance(cores, bool) or not 1 <= cores <= 4096:
        yield f"{where}.cores: {cores!r} is not possible; cores of a job, a whole number from 1 to 4096"
    if section.get("processes", 1) != 1:
        yield f"{where}.processes: {section['processes']!r} is not possible; always 1: for more, raise `workers`"
    yield from _trouble(f"{where}.memory", section.get("memory"), plausible_memory)
    yield from _trouble(f"{where}.walltime", section.get("walltime"), walltime_reader(kind), optional=True)
    if section.get("job-mem") and not list(_trouble("", section.get("memory"), plausible_memory)):
        yield from _job_memory(where, section["memory"], section["job-mem"])
    if kind == "sge":
        yield from _slots(where, section, cores)


def _job_memory(where: str, memory: str, job_memory: Any) -> Iterator[str]:
    match = re.fullmatch(r"(\d+)([KMGT])", str(job_memory))
    if match is None:
        yield f"{where}.job-mem: {job_memory!r} is not possible; a number with K, M, G or T, as sbatch --mem reads it"
    elif int(match[1]) * 2 ** (10 * (1 + "KMGT".index(match[2]))) < memory_nbytes(memory):
        yield f"{where}.job-mem: {job_memory!r} is less than the worker's memory, {memory!r}; raise it or make it null"


def _slots(where: str, section: Mapping[str, Any], cores: Any) -> Iterator[str]:
    # Grid Engine knows cores only as slots of a parallel environment, whose name is the site's.
    directives = [str(line) for line in section.get("job-extra-directives") or []]
    asked = [match for line in directives if (match := re.fullmatch(r"\s*-pe\s+(\S+)\s+(\S+)\s*", line))]
    if not asked and cores != 1 and not section.get("resource-spec"):
        yield f"{where}.job-extra-directives: nothing asks for {cores} slots; add such as '-pe smp {cores}'"
    for match in asked:
        if match[2] != str(cores):
            yield (
                f"{where}.job-extra-directives: {match[0]!r} asks for {match[2]} slots, and `cores` is {cores}; "
                f"make it '-pe {match[1]} {cores}'"
            )


def _trouble(key: str, value: Any, check: Any, *, optional: bool = False) -> Iterator[str]:
    if value is None and optional:
        return
    try:
        check(value)
    except ValueError as error:
        yield f"{key}: {value!r} is not possible; {error}"
