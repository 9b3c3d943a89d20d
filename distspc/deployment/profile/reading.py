"""Profiles: where to compute, read from Dask config files and validated into one frozen object.

A profile is a YAML file that Dask itself understands (sections `distributed` and `jobqueue`) with a section
`distspc` beside them. The name of a shipped profile, the path of a file, the address of a scheduler and the
path of a scheduler file are all profiles.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from distspc.deployment.profile.checks import (
    SECTIONS,
    queue_keys,
    unknown_distributed,
    unknown_jobqueue,
    unknown_sections,
    walltime_problems,
)
from distspc.deployment.profile.job_section import JobSection
from distspc.deployment.profile.queues import queue_of
from distspc.deployment.profile.settings import ADDRESS, Profile, ProfileSettings
from distspc.errors import InputError
from distspc.io.yaml_files import PlainLoader, explain_errors, read_yaml
from distspc.messages import did_you_mean

# ---------------------------------------------------------------- finding and reading


def profile_folder() -> Path:
    """Folder of the shipped profiles: in the installed package, or `cluster/` of a checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "profiles"
    return installed if installed.is_dir() else package.parent / "cluster"


def list_profiles() -> dict[str, str]:
    """Shipped profiles: name to the first comment line of the file."""
    files = sorted(profile_folder().glob("*.yaml"), key=lambda file: file.stem)
    return {file.stem: file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for file in files}


def load_profile(profile: str | Path | Profile, overrides: Sequence[str] = ()) -> Profile:
    """Find, read and validate a profile.

    Parameters
    ----------
    profile
        Name of a shipped profile, path of a YAML file, address of a scheduler (``tcp://``, ``tls://``),
        path of a scheduler file (``.json``), or a Profile, which is returned with the overrides applied.
    overrides
        ``key=value`` each: a key of section `distspc` (``workers=4``, ``timeouts.start=60``), a key of the
        kind's own section (``walltime=02:00:00``), or a full path (``distributed.scheduler.allowed-failures=9``).

    Raises
    ------
    InputError
        If there is no such profile, or it says something that cannot be: names key, value and what is allowed.
    """
    if isinstance(profile, Profile):
        content = {"distspc": profile.settings.model_dump(by_alias=True, mode="json", exclude_unset=True)}
        content |= copy.deepcopy(profile.config)
        name = profile.name
    else:
        name, content = str(profile), _content(str(profile))
    for override in overrides:
        _override(content, override)
    return _validate(name, content)


def _content(name: str) -> dict[str, Any]:
    if ADDRESS.match(name):
        return {"distspc": {"kind": "address", "address": name}}
    path = Path(name).expanduser()
    if path.suffix == ".json":
        return {"distspc": {"kind": "address", "scheduler-file": str(path)}}
    if path.suffix not in (".yaml", ".yml") and path.name == name:
        path = profile_folder() / f"{name}.yaml"
        if not path.is_file():
            raise InputError(_no_profile(name))
    return read_yaml(path, what="profile file")


def _no_profile(name: str) -> str:
    known = list_profiles()
    hint = did_you_mean(name, known)
    return (
        f"there is no profile {name!r}; {hint}give one of {', '.join(known)}, the path of a .yaml file, "
        "the address of a scheduler (tcp://host:port, tls://host:port) or its scheduler file (.json)"
    )


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"cannot read the override {override!r}; write key=value, such as workers=4")
    try:
        value = yaml.load(text, Loader=PlainLoader)
    except yaml.YAMLError:
        value = text
    path = _path(content, key.strip().replace("_", "-"))
    section = content
    for part in path[:-1]:
        if not isinstance(section.get(part), dict):
            section[part] = {}
        section = section[part]
    section[path[-1]] = value


def _path(content: Mapping[str, Any], key: str) -> list[str]:
    parts = key.split(".")
    kind = (content.get("distspc") or {}).get("kind")
    if parts[0] in SECTIONS:
        return parts
    queue = queue_of(str(kind))
    if queue and parts[0] not in ProfileSettings.key_names() and parts[0] in queue_keys(queue):
        return ["jobqueue", queue.name, *parts]
    return ["distspc", *parts]


# ---------------------------------------------------------------- validation


def _validate(name: str, content: Mapping[str, Any]) -> Profile:
    problems = list(unknown_sections(content))
    settings = job = None
    try:
        settings = ProfileSettings.model_validate(content.get("distspc") or {})
    except ValidationError as error:
        problems += explain_errors(error, ProfileSettings, prefix="distspc")
    config = {key: value for key, value in content.items() if key != "distspc"}
    problems += unknown_distributed(config.get("distributed") or {})
    problems += unknown_jobqueue(config.get("jobqueue") or {})
    queue = queue_of(settings.kind) if settings else None
    if settings and queue:
        section = _mapping(_mapping(config.get("jobqueue")).get(queue.name))
        try:
            job = JobSection.model_validate(section, context={"queue": queue})
        except ValidationError as error:
            problems += explain_errors(error, JobSection, prefix=f"jobqueue.{queue.name}")
        problems += walltime_problems(settings.driver.walltime, queue)
    if problems or settings is None:
        raise InputError(f"profile {name}:\n" + "\n".join(f"  {line}" for line in problems))
    return Profile(name=name, settings=settings, config=config, job_section=job)


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
