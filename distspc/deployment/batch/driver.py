"""Job scripts as text, and the job that runs a whole study, so that nobody keeps a login session open."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from distspc.deployment.batch.jobs import checked_folder, job_name, thread_exports
from distspc.deployment.batch.slurm import COMMAND_S, clean_environment
from distspc.deployment.profile.dask_config import dask_config, flatten
from distspc.deployment.profile.queues import Queue, driver_memory_keywords, job_memory_mib
from distspc.deployment.profile.reading import load_profile
from distspc.deployment.profile.settings import Profile
from distspc.deployment.profile.shape import worker_shape
from distspc.errors import InputError

BEFORE_THE_END_S = 120
"""Seconds before its walltime at which the driver is told to end: time to take its workers out of the queue."""


@dataclass(frozen=True)
class SubmittedJob:
    """A job that the queue took: its id, its log, the script."""

    job_id: str
    log: Path
    script: str


def job_script(
    profile: str | Path | Profile,
    *,
    overrides: Sequence[str] = (),
    name: str = "distspc",
    log_directory: str | Path | None = None,
) -> str:
    """Text that is submitted for one worker of a profile; what is known only then stands in ``<>``.

    Raises
    ------
    InputError
        If the profile cannot be used or submits no jobs.
    """
    loaded = _queue_profile(profile, overrides)
    logs = _logs(loaded, log_directory, Path.cwd())
    if loaded.kind == "slurm-runner":
        return driver_script("<study.yaml>", loaded, name=name, log_directory=logs)
    from distspc.deployment.batch.job_classes import script_text

    with _configured(loaded):
        return script_text(loaded, name=name, log_directory=logs)


def _configured(profile: Profile) -> Any:
    import dask

    from distspc.deployment.batch.job_classes import cluster_class

    cluster_class(profile.queue)  # its import sets Dask's defaults: before the profile does
    return dask.config.set(flatten(dask_config(profile)))


def _queue_profile(profile: str | Path | Profile, overrides: Sequence[str]) -> Profile:
    loaded = load_profile(profile, overrides)
    if not loaded.submits_jobs:
        raise InputError(
            f"profile {loaded.name} is of kind {loaded.kind} and submits no jobs; "
            "take one for a batch queue, such as slurm-cpu (`distspc profiles` lists them)"
        )
    return loaded


def _logs(profile: Profile, default: str | Path | None, beside: Path) -> Path:
    folder = profile.settings.log_directory or default or beside / "distspc-logs"
    return checked_folder(Path(folder).expanduser().absolute())


def submit_driver(
    study: str | Path,
    profile: str | Path | Profile,
    *,
    overrides: Sequence[str] = (),
    arguments: Sequence[str] = (),
    log_directory: str | Path | None = None,
) -> SubmittedJob:
    """Submit one small job that runs ``distspc run STUDY --profile PROFILE``.

    Parameters
    ----------
    study
        The study file.
    profile
        A profile of a batch queue; the job asks for what its `driver` section says.
    overrides
        ``key=value`` each, passed on.
    arguments
        More arguments of ``distspc run``, passed on.
    log_directory
        Folder of the logs where the profile names none; by default ``distspc-logs`` beside the study.

    Raises
    ------
    InputError
        If the study or profile cannot be used, or the queue refuses the job: in its own words.
    """
    path = Path(study).expanduser().absolute()
    if not path.is_file():
        raise InputError(f"there is no study file {path}")
    loaded = _queue_profile(profile, overrides)
    logs = _logs(loaded, log_directory, path.parent)
    name = job_name(path.stem)
    options = [*(part for override in overrides for part in ("--set", override)), *arguments]
    script = driver_script(path, loaded, name=name, log_directory=logs, arguments=options)
    logs.mkdir(parents=True, exist_ok=True)
    job_id = _submit(script, loaded.queue)
    return SubmittedJob(job_id=job_id, log=_log_path(loaded, logs, name, job_id), script=script)


def _log_path(profile: Profile, logs: Path, name: str, job_id: str) -> Path:
    log_name = profile.queue.log_name
    return logs / log_name.format(name=name, job_id=job_id) if log_name else logs


def _submit(script: str, queue: Queue) -> str:
    from distspc.deployment.batch.job_classes import job_class

    command = queue.submit_command
    with tempfile.NamedTemporaryFile("w", prefix="distspc-", suffix=".sh") as file:
        file.write(script)
        file.flush()
        line = f"{command} {'< ' if queue.script_from_stdin else ''}{shlex.quote(file.name)}"
        try:
            answer = subprocess.run(
                ["sh", "-c", line],
                capture_output=True,
                text=True,
                timeout=COMMAND_S,
                env=clean_environment(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"{command} has not answered for {COMMAND_S:.0f} s") from None
    if answer.returncode != 0:
        raise InputError(f"the queue refuses the job: {' '.join((answer.stderr or answer.stdout).split())}")
    return str(job_class(queue)._job_id_from_submit_output(job_class(queue), answer.stdout))


def driver_script(
    study: str | Path,
    profile: Profile,
    *,
    name: str,
    log_directory: Path,
    arguments: Sequence[str] = (),
) -> str:
    """Text of the job that runs a study: for `slurm-runner` scheduler and workers too, else only the study.

    Parameters
    ----------
    study
        The study file, as the job is to name it.
    profile
        A profile of a batch queue.
    name
        Name of the job.
    log_directory
        Folder of its log; it is not made.
    arguments
        More arguments of ``distspc run``.

    Returns
    -------
    str
        The whole script, directives first.
    """
    from distspc.deployment.batch.job_classes import job_class

    existed = log_directory.exists()
    with _configured(profile):
        job = job_class(profile.queue)("<scheduler>", **_keywords(profile, name=name, log_directory=log_directory))
    if not existed:
        log_directory.rmdir()
    runner = profile.kind == "slurm-runner"
    command = _runner_command if runner else _command
    lines = [
        job.shebang,
        "",
        job.job_header,
        thread_exports(worker_shape(profile).cores if runner else profile.settings.driver.cores),
        *profile.job.job_script_prologue,
        # exec: the signal before the walltime reaches Python, not a shell that waits for it.
        f"exec {shlex.join(command(study, profile, log_directory, arguments))}",
    ]
    return "\n".join(lines) + "\n"


def _command(study: str | Path, profile: Profile, _: Path, arguments: Sequence[str]) -> list[str]:
    name = profile.name
    place = str(Path(name).expanduser().absolute()) if name.endswith((".yaml", ".yml")) else name
    return [*_distspc(), "run", str(study), "--profile", place, *arguments]


def _runner_command(study: str | Path, profile: Profile, logs: Path, arguments: Sequence[str]) -> list[str]:
    run = _command(study, profile, logs, ())
    place = run[-1]
    plain = [part for part in arguments if part not in _overrides(arguments) and part != "--set"]
    chosen = [part for override in _overrides(arguments) for part in ("--set", override)]
    served = [sys.executable, "-m", "distspc.deployment.launch", "--profile", place, *chosen, "--logs", str(logs)]
    # Newer versions of srun do not take the job's own value.
    return ["srun", f"--cpus-per-task={worker_shape(profile).cores}", *served, "--", "run", str(study), *plain]


def _overrides(arguments: Sequence[str]) -> list[str]:
    return [value for flag, value in pairwise(arguments) if flag == "--set"]


def _distspc() -> list[str]:
    return [sys.executable, "-c", "from distspc.cli import main; main()"]


def _keywords(profile: Profile, *, name: str, log_directory: Path) -> dict[str, Any]:
    driver, job, queue = profile.settings.driver, profile.job, profile.queue
    nbytes = driver.memory.nbytes
    walltime = driver.walltime or (job.walltime.text if job.walltime else None)
    keywords: dict[str, Any] = {
        "name": name,
        "cores": driver.cores,
        "memory": f"{nbytes // 2**20} MiB",
        "processes": 1,
        "job_name": job_name(name),
        "log_directory": str(log_directory),
        "walltime": walltime,
        "job_extra_directives": list(driver.directives),
        "job_directives_skip": list(job.job_directives_skip),
        "job_script_prologue": [],
    }
    if profile.kind == "slurm-runner":
        return keywords | _runner_keywords(profile)
    keywords |= driver_memory_keywords(queue, driver.cores, nbytes)
    keywords["job_extra_directives"][:0] = _warning(queue, to="B:")
    keywords["job_directives_skip"][:0] = _one_log(queue)
    return keywords


def _warning(queue: Queue, *, to: str) -> list[str]:
    return [queue.warning_option.format(to=to, seconds=BEFORE_THE_END_S)] if queue.warning_option else []


def _one_log(queue: Queue) -> list[str]:
    return [queue.error_log] if queue.error_log else []


def _runner_keywords(profile: Profile) -> dict[str, Any]:
    """Keywords of the job that holds scheduler, client and workers: a task of the workers' size for each."""
    shape, job = worker_shape(profile), profile.job
    return {
        "cores": shape.cores,
        "job_extra_directives": [
            *_warning(profile.queue, to=""),
            f"--ntasks={shape.n_workers + 2}",
            f"--mem-per-cpu={-(-job_memory_mib(shape.memory_nbytes) // shape.cores)}M",
            *job.job_extra_directives,
            *profile.settings.driver.directives,
        ],
        "job_directives_skip": [*_one_log(profile.queue), "#SBATCH -n ", "--mem=", *job.job_directives_skip],
    }
