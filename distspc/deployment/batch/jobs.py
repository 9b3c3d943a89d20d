"""What a job of a batch queue is asked with: plain data worked out from a profile, nothing submitted."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distspc.deployment.profile.queues import worker_memory_keywords
from distspc.deployment.profile.settings import Profile
from distspc.deployment.profile.shape import worker_environment, worker_shape
from distspc.errors import InputError

WORKER_SECTIONS = ("worker", "comm")
"""Sections of `distributed` that a worker in a job has to know; the others are for the scheduler."""
_UNSAFE = re.compile(r"[^\w./+,:@=-]")


@dataclass(frozen=True)
class Lifetime:
    """Age in seconds at which a worker hands over its work and ends, and by how much it varies."""

    age: int
    stagger: int


def job_name(name: str) -> str:
    """A name that every queue takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "distspc"


def checked_folder(path: Path) -> Path:
    """Pass on a folder whose path can stand in a job script as it is.

    Raises
    ------
    InputError
        If it holds blanks or characters that the shell or the queue would read in their own way.
    """
    found = _UNSAFE.search(str(path))
    if found:
        raise InputError(
            f"the folder {str(path)!r} cannot stand in a job script because of {found[0]!r}; "
            "give another one with `log-directory`, made of letters, digits and . _ - / only"
        )
    return path


def lifetime(profile: Profile) -> Lifetime | None:
    """When a worker hands over: before the walltime even with the stagger; None where there is no limit."""
    age_limit, walltime = profile.settings.lifetime, profile.job.walltime
    limit = walltime.seconds if walltime else None
    if age_limit == "auto" and limit is not None:
        margin = max(1, min(max(120, limit // 20), limit // 2))
        return Lifetime(age=limit - margin, stagger=margin // 2)
    if age_limit is None or age_limit == "auto":
        return None
    age = age_limit.seconds
    stagger = min(age, max(0, limit - age)) // 2 if limit else age // 20
    if limit is not None and age >= limit:
        raise InputError(f"`lifetime` ({age_limit}) must be less than the walltime ({walltime}) of the job")
    return Lifetime(age=age, stagger=stagger)


def worker_arguments(profile: Profile) -> list[str]:
    """Options of `dask worker` beyond what dask-jobqueue gives it."""
    # A worker's own page listens on all interfaces by default; without the page its metrics still do.
    arguments = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    for resource, amount in profile.settings.resources.items():
        arguments += ["--resources", f"{resource}={amount:g}"]
    hand_over = lifetime(profile)
    if hand_over is not None:
        arguments += ["--lifetime", f"{hand_over.age}s", "--lifetime-stagger", f"{hand_over.stagger}s"]
    return arguments + list(profile.job.worker_extra_args)


def prologue(profile: Profile) -> list[str]:
    """Shell lines before the worker: an orderly end on SIGTERM, Dask's configuration, the profile's own lines."""
    cores = worker_shape(profile).cores
    environment = {**_inherited_environment(), **worker_environment(cores)}
    settings = {"distributed.nanny.pre-spawn-environ": environment} | _worker_config(profile)
    exports = [f"export {_variable(key)}={shlex.quote(_value(value))}" for key, value in settings.items()]
    # Without a handler of its own bash dies of scancel's SIGTERM at once, and the worker with it.
    return ["trap : TERM", thread_exports(cores), *exports, *profile.job.job_script_prologue]


def thread_exports(cores: int) -> str:
    """Shell line that says how many threads a process has; a job inherits other numbers from where it is submitted."""
    return "export " + " ".join(f"{name}={value}" for name, value in worker_environment(cores).items())


def _inherited_environment() -> dict[str, str]:
    import dask
    import distributed  # noqa: F401  (fills in Dask's defaults)

    return {str(k): str(v) for k, v in dask.config.get("distributed.nanny.pre-spawn-environ").items()}


def _worker_config(profile: Profile) -> dict[str, Any]:
    from distspc.deployment.profile.dask_config import canonical, flatten

    section = canonical(profile.config.get("distributed") or {})
    return flatten({key: section[key] for key in WORKER_SECTIONS if key in section}, "distributed.")


def _variable(key: str) -> str:
    return "DASK_" + key.upper().replace(".", "__").replace("-", "_")


def _value(value: Any) -> str:
    # Dask reads these as Python literals: a mapping of strings looks the same in JSON, and quotes better.
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict) else repr(value)


def job_keywords(profile: Profile, *, name: str, log_directory: Path) -> dict[str, Any]:
    """Keywords for the job class of dask-jobqueue that reads this profile's section."""
    shape = worker_shape(profile)
    own = profile.job.queue_memory(profile.queue)
    return {
        "cores": shape.cores,
        "memory": f"{shape.memory_nbytes // 2**20} MiB",
        "processes": 1,
        "job_name": job_name(name),
        "log_directory": str(checked_folder(log_directory)),
        "worker_extra_args": worker_arguments(profile),
        "job_script_prologue": prologue(profile),
        **({} if own else worker_memory_keywords(profile.queue, shape.cores, shape.memory_nbytes)),
    }
