"""Dask's configuration under a profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from distspc.deployment.profile.shape import worker_environment, worker_shape

if TYPE_CHECKING:
    from distspc.deployment.profile.settings import Profile


QUEUE_FAILURES, LOCAL_FAILURES = 20, 5
"""Workers lost under a task before it counts as the culprit: jobs end for many reasons, local processes for few."""


def dask_config(profile: Profile) -> dict[str, Any]:
    """Dask's configuration under this profile: its own sections, and what every profile of ours needs."""
    import dask
    import distributed  # noqa: F401  (fills in Dask's defaults)

    ours = {
        "distributed": {
            "scheduler": {"allowed-failures": QUEUE_FAILURES if profile.submits_jobs else LOCAL_FAILURES},
            # Dask looks at every thread each 10 ms and ticks 50 times a second: 4 % of a machine of two cores.
            "admin": {"tick": {"interval": "500ms"}},
            "worker": {"multiprocessing-method": "spawn", "profile": {"interval": "100ms"}},
            "nanny": {"pre-spawn-environ": _environment(profile)},
        }
    }
    return dict(dask.config.merge(ours, canonical(profile.config)))


def _environment(profile: Profile) -> dict[str, str]:
    import dask

    inherited = {str(k): str(v) for k, v in dask.config.get("distributed.nanny.pre-spawn-environ").items()}
    if profile.kind == "address":
        return inherited
    return inherited | worker_environment(worker_shape(profile).cores)


def canonical(section: Mapping[str, Any]) -> dict[str, Any]:
    """Keys with hyphens, except the names of environment variables."""
    return {
        key.replace("_", "-"): canonical(value) if isinstance(value, Mapping) and not _is_environment(key) else value
        for key, value in section.items()
    }


def _is_environment(key: str) -> bool:
    return key.endswith("environ")


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration as dotted keys, so that setting it leaves its neighbours alone."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value and not _is_environment(key):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
