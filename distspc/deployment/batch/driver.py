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
from distspc.deployment.batch.slurm import clean_environment
from distspc.deployment.profile.dask_config import dask_config, flatten
from distspc.deployment.profile.quantities import memory_nbytes
from distspc.deployment.profile.queues import SUBMIT_COMMANDS, job_memory_mib, queue_section
from distspc.deployment.profile.reading import load_profile
from distspc.deployment.profile.settings import Profile
from distspc.errors import InputError

COMMAND_S = 60.0
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

    cluster_class(queue_section(profile.kind) or "")  # its import sets Dask's defaults: before the profile does
    return dask.config.set(flatten(dask_config(profile)))


def _queue_profile(profile: str | Path | Profile, overrides: Sequence[str]) -> Profile:
    loaded = load_profile(profile, overrides)
    if queue_section(loaded.kind) is None:
        raise InputError(
            f"profile {loaded.name} is of kind {loaded.kind} and submits no jobs; "
            "take one for a batch queue, such as slurm-cpu (`distspc profiles` lists them)"
        )
    return loaded


def _logs(profile: Profile, given: str | Path | None, beside: Path) -> Path:
    folder = profile.settings.log_directory or given or beside / "distspc-logs"
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
    job_id = _submit(script, queue_section(loaded.kind) or "")
    return SubmittedJob(job_id=job_id, log=_log_path(loaded, logs, name, job_id), script=script)


def _log_path(profile: Profile, logs: Path, name: str, job_id: str) -> Path:
    return logs / f"{name}-{job_id}.out" if queue_section(profile.kind) == "slurm" else logs


def _submit(script: str, queue: str) -> str:
    from distspc.deployment.batch.job_classes import job_class

    command = SUBMIT_COMMANDS[queue]
    with tempfile.NamedTemporaryFile("w", prefix="distspc-", suffix=".sh") as file:
        file.write(script)
        file.flush()
        line = f"{command} {shlex.quote(file.name)}" if queue != "lsf" else f"{command} < {shlex.quote(file.name)}"
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
    """Text of the job that runs a study: for `slurm-runner` scheduler and workers too, else only the study."""
    from distspc.deployment.batch.job_classes import job_class

    queue = queue_section(profile.kind) or ""
    existed = log_directory.exists()
    with _configured(profile):
        job = job_class(queue)("<scheduler>", **_keywords(profile, queue, name=name, log_directory=log_directory))
    if not existed:
        log_directory.rmdir()
    runner = profile.kind == "slurm-runner"
    command = _runner_command if runner else _command
    lines = [
        job.shebang,
        "",
        job.job_header,
        thread_exports(profile.shape[1] if runner else profile.settings.driver.cores),
        *(profile.queue.get("job-script-prologue") or []),
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
    return ["srun", f"--cpus-per-task={profile.shape[1]}", *served, "--", "run", str(study), *plain]


def _overrides(arguments: Sequence[str]) -> list[str]:
    return [value for flag, value in pairwise(arguments) if flag == "--set"]


def _distspc() -> list[str]:
    return [sys.executable, "-c", "from distspc.cli.app import main; main()"]


def _keywords(profile: Profile, queue: str, *, name: str, log_directory: Path) -> dict[str, Any]:
    driver = profile.settings.driver
    runner = profile.kind == "slurm-runner"
    nbytes = memory_nbytes(driver.memory)
    keywords: dict[str, Any] = {
        "name": name,
        "cores": driver.cores,
        "memory": f"{nbytes // 2**20} MiB",
        "processes": 1,
        "job_name": job_name(name),
        "log_directory": str(log_directory),
        "walltime": driver.walltime or profile.queue.get("walltime"),
        "job_extra_directives": list(driver.directives),
        "job_directives_skip": list(profile.queue.get("job-directives-skip") or []),
        "job_script_prologue": [],
    }
    if queue == "slurm":
        keywords |= _slurm_keywords(profile, keywords, nbytes, runner=runner)
    elif queue == "pbs":
        keywords["resource_spec"] = f"select=1:ncpus={driver.cores}:mem={nbytes // 2**20}mb"
    elif queue == "sge":
        keywords["resource_spec"] = f"h_vmem={nbytes // 2**20 // driver.cores}M"
    elif queue == "lsf":
        keywords |= {"ncpus": driver.cores, "mem": nbytes}
    return keywords


def _slurm_keywords(profile: Profile, keywords: dict[str, Any], nbytes: int, *, runner: bool) -> dict[str, Any]:
    signal = "TERM" if runner else "B:TERM"
    extra = [f"--signal={signal}@{BEFORE_THE_END_S}"]
    skip = ["#SBATCH -e"]  # one log for both
    if runner:
        n_workers, cores, worker_nbytes = profile.shape
        extra += [f"--ntasks={n_workers + 2}", f"--mem-per-cpu={-(-job_memory_mib(worker_nbytes) // cores)}M"]
        extra += list(profile.queue.get("job-extra-directives") or [])
        skip += ["#SBATCH -n ", "--mem="]
        return {
            "cores": cores,
            "job_extra_directives": extra + keywords["job_extra_directives"],
            "job_directives_skip": skip + keywords["job_directives_skip"],
        }
    return {
        "job_mem": f"{nbytes // 2**20}M",
        "job_extra_directives": extra + keywords["job_extra_directives"],
        "job_directives_skip": skip + keywords["job_directives_skip"],
    }
