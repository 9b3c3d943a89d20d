"""Checks of what a profile says: its sections, Dask's own keys, the keys of the batch queues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from distspc.deployment.profile.queues import QUEUES, Queue
from distspc.errors import InputError
from distspc.messages import unknown_key

SECTIONS = ("distspc", "distributed", "jobqueue", "logging")
NO_MAPPING = "invalid value {!r}: expected a mapping of keys to values"
RENAMED = {"extra", "env-extra", "job-extra", "header-skip", "project"}
"""Keys that dask-jobqueue has renamed and warns about; for LSF and SGE `project` is the key of the account."""


def unknown_sections(content: Mapping[str, Any]) -> Iterator[str]:
    """Name the top-level keys that are no section of a profile."""
    for key in content:
        if key not in SECTIONS:
            yield f"{key}: unknown section; allowed are {', '.join(SECTIONS)}"
        elif content[key] is not None and not isinstance(content[key], dict):
            yield f"{key}: {NO_MAPPING.format(content[key])}"


def unknown_distributed(section: Any) -> Iterator[str]:
    """Name the keys of section `distributed` that Dask does not know."""
    import dask
    import distributed  # noqa: F401  (fills in Dask's defaults)

    known: dict[str, Any] = {}
    for defaults in dask.config.defaults:
        dask.config.update(known, {"distributed": defaults.get("distributed") or {}})
    yield from _unknown_in(section, known["distributed"], "distributed")


def _unknown_in(section: Any, defaults: Any, prefix: str) -> Iterator[str]:
    # A key whose default is empty or a plain value holds whatever the user puts there.
    if not isinstance(defaults, dict) or not defaults or prefix.endswith("environ"):
        return
    if not isinstance(section, dict):
        yield f"{prefix}: {NO_MAPPING.format(section)}"
        return
    allowed = {key.replace("_", "-"): value for key, value in defaults.items()}
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


def queue_keys(queue: Queue) -> list[str]:
    """Keys that the section of `jobqueue` of this queue may have."""
    renamed = RENAMED - {queue.account_key}
    return [key for key in _queue_defaults()[queue.name] if key not in renamed]


def unknown_jobqueue(section: Any) -> Iterator[str]:
    """Name the queues and keys of section `jobqueue` that there are not."""
    if not isinstance(section, dict):
        return
    for name, job in section.items():
        if name not in QUEUES:
            yield unknown_key(f"jobqueue.{name}", list(QUEUES))
        elif not isinstance(job, dict):
            yield f"jobqueue.{name}: {NO_MAPPING.format(job)}"
        else:
            allowed = queue_keys(QUEUES[name])
            yield from (unknown_key(f"jobqueue.{name}.{key}", allowed) for key in job if key not in allowed)


def walltime_problems(walltime: Any, queue: Queue) -> Iterator[str]:
    """Name what is wrong in the driver's walltime, for the queue that is to read it."""
    if walltime is None:
        return
    try:
        queue.walltime_seconds(walltime)
    except ValueError as error:
        yield f"distspc.driver.walltime: invalid value {walltime!r}: {error}"
