"""A profile as an object: what it may say, checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, model_validator

from distspc.deployment.profile.job_section import JobSection
from distspc.deployment.profile.quantities import Duration, Memory
from distspc.deployment.profile.queues import Queue, queue_of
from distspc.io.yaml_files import Section

Kind = Literal["local", "slurm", "pbs", "lsf", "sge", "slurm-runner", "address"]
ADDRESS = re.compile(r"^(tcp|tls|ws|wss|ucx|inproc)://.+")


MemoryText = Annotated[Memory, PlainValidator(Memory.parse), PlainSerializer(str)]
DurationText = Annotated[Duration, PlainValidator(Duration.parse), PlainSerializer(str)]
Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]


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
    memory: MemoryText = Memory.parse("4 GiB")
    walltime: str | None = None
    directives: tuple[str, ...] = ()


class ProfileSettings(Section):
    """The section `distspc` of a profile."""

    kind: Kind
    workers: Count | Literal["auto"] = "auto"
    cores_per_worker: Count | Literal["auto"] = "auto"
    memory_per_worker: MemoryText | Literal["auto"] = "auto"
    processes: bool = Field(default=True, strict=True)
    adapt: Adapt | None = None
    resources: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    security: Literal["auto", "tls", "none"] = "auto"
    dashboard_address: str = Field(default="127.0.0.1:8787", pattern=r"^[\w.-]*:\d{1,5}$")
    address: str | None = Field(default=None, pattern=ADDRESS.pattern)
    scheduler_file: Path | None = None
    log_directory: Path | None = None
    lifetime: DurationText | Literal["auto"] | None = "auto"
    timeouts: Timeouts = Timeouts()
    driver: Driver = Driver()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        queue = queue_of(self.kind)
        if queue:
            for key, home in (("cores_per_worker", "cores"), ("memory_per_worker", "memory")):
                if getattr(self, key) != "auto":
                    name = key.replace("_", "-")
                    raise ValueError(f"`{name}` goes with kind local; here set `jobqueue.{queue.name}.{home}`")
            if self.workers == "auto":
                raise ValueError("`workers` is missing: give the number of jobs to keep in the queue, such as 4")
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
    job_section
        The section of `jobqueue` that this kind reads; None for kinds that submit no jobs.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    settings: ProfileSettings
    config: dict[str, Any]
    job_section: JobSection | None = None

    @property
    def kind(self) -> Kind:
        """Kind of cluster."""
        return self.settings.kind

    @property
    def submits_jobs(self) -> bool:
        """Whether its workers are jobs of a batch queue."""
        return queue_of(self.kind) is not None

    @property
    def queue(self) -> Queue:
        """The batch queue.

        Raises
        ------
        ValueError
            If this kind submits no jobs.
        """
        queue = queue_of(self.kind)
        if queue is None:
            raise ValueError(f"kind {self.kind} submits no jobs")
        return queue

    @property
    def job(self) -> JobSection:
        """What a job asks for.

        Raises
        ------
        ValueError
            If this kind submits no jobs.
        """
        if self.job_section is None:
            raise ValueError(f"kind {self.kind} submits no jobs")
        return self.job_section

    @property
    def tls(self) -> bool:
        """Whether scheduler and workers talk TLS with certificates made for the run."""
        security = self.settings.security
        return security == "tls" or (security == "auto" and self.kind not in ("local", "address"))
