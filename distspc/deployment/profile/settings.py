"""A profile as an object: what it may say, checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from distspc.deployment.profile.checks import plausible_memory
from distspc.deployment.profile.quantities import memory_nbytes, seconds
from distspc.deployment.profile.queues import queue_section

Kind = Literal["local", "slurm", "pbs", "lsf", "sge", "slurm-runner", "address"]
ADDRESS = re.compile(r"^(tcp|tls|ws|wss|ucx|inproc)://.+")


def _duration(value: str) -> str:
    seconds(value)
    return value


Memory = Annotated[str, AfterValidator(plausible_memory)]
Duration = Annotated[str, AfterValidator(_duration)]
Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]


class Section(BaseModel):
    """A section of a profile: keys with hyphens, nothing unknown, nothing changed later."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, alias_generator=lambda name: name.replace("_", "-")
    )


class Adapt(Section):
    """Bounds between which the number of workers follows the work."""

    minimum: int = Field(default=1, strict=True, ge=0, le=100_000)
    maximum: Count

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"`minimum` ({self.minimum}) is above `maximum` ({self.maximum})")
        return self


class Timeouts(Section):
    """Seconds to wait: for the first worker (null: for ever), for the end, between looks at the queue."""

    start: Seconds | None = None
    close: Seconds = 30.0
    poll: Seconds = 10.0


class Driver(Section):
    """What the job that runs the study itself asks for (`distspc submit`)."""

    cores: Count = 1
    memory: Memory = "4 GiB"
    walltime: str | None = None
    directives: tuple[str, ...] = ()


class ProfileSettings(Section):
    """The section `distspc` of a profile."""

    kind: Kind
    workers: Count | Literal["auto"] = "auto"
    cores_per_worker: Count | Literal["auto"] = "auto"
    memory_per_worker: Memory | Literal["auto"] = "auto"
    processes: bool = Field(default=True, strict=True)
    adapt: Adapt | None = None
    resources: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    security: Literal["auto", "tls", "none"] = "auto"
    dashboard_address: str = Field(default="127.0.0.1:8787", pattern=r"^[\w.-]*:\d{1,5}$")
    address: str | None = Field(default=None, pattern=ADDRESS.pattern)
    scheduler_file: Path | None = None
    log_directory: Path | None = None
    lifetime: Duration | Literal["auto"] | None = "auto"
    timeouts: Timeouts = Timeouts()
    driver: Driver = Driver()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        queue = queue_section(self.kind)
        if queue:
            for key, home in (("cores_per_worker", "cores"), ("memory_per_worker", "memory")):
                if getattr(self, key) != "auto":
                    name = key.replace("_", "-")
                    raise ValueError(f"`{name}` goes with kind local; here set `jobqueue.{queue}.{home}`")
            if self.workers == "auto":
                raise ValueError("`workers`: say how many jobs to keep in the queue, such as 4")
        if (self.kind == "address") != (self.address is not None or self.scheduler_file is not None):
            raise ValueError("kind `address` goes with `address` or `scheduler-file`, and no other kind does")
        return self


class Profile(BaseModel):
    """A validated profile.

    Attributes
    ----------
    name
        Name or path it was asked for by.
    settings
        Its section `distspc`.
    config
        All its other sections, as Dask's configuration wants them.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    settings: ProfileSettings
    config: dict[str, Any]

    @property
    def kind(self) -> Kind:
        """Kind of cluster."""
        return self.settings.kind

    @property
    def queue(self) -> dict[str, Any]:
        """The section of `jobqueue` that this kind reads; empty for others."""
        return dict(self.config.get("jobqueue", {}).get(queue_section(self.kind)) or {})

    @property
    def tls(self) -> bool:
        """Whether scheduler and workers talk TLS with certificates made for the run."""
        wanted = self.settings.security
        return wanted == "tls" or (wanted == "auto" and self.kind not in ("local", "address"))

    @property
    def n_workers(self) -> int:
        """Workers (a process each; for queues a job each)."""
        return self.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of workers, cores of each, memory of each in bytes; what is `auto` follows this machine."""
        if queue_section(self.kind):
            return int(self.settings.workers), int(self.queue["cores"]), memory_nbytes(self.queue["memory"])
        from distspc.deployment.profile.shape import local_shape

        return local_shape(self.settings)
