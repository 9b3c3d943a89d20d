"""Profiles: where to compute, read from Dask config files and validated into one frozen object.

A profile is a YAML file that Dask itself understands (sections `distributed` and `jobqueue`) with a section
`distspc` beside them. The name of a shipped profile, the path of a file, the address of a scheduler and the
path of a scheduler file are all profiles.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from distspc.deploy.checks import (
    SECTIONS,
    driver_problems,
    plausible_memory,
    queue_keys,
    queue_problems,
    queue_section,
    unknown_distributed,
    unknown_key,
    unknown_sections,
)
from distspc.deploy.quantities import memory_nbytes, seconds
from distspc.errors import InputError

Kind = Literal["local", "slurm", "pbs", "lsf", "sge", "slurm-runner", "address"]
ADDRESS = re.compile(r"^(tcp|tls|ws|wss|ucx|inproc)://.+")
MAX_FILE_NBYTES = 1_000_000


def _duration(value: str) -> str:
    seconds(value)
    return value


Memory = Annotated[str, AfterValidator(plausible_memory)]
Duration = Annotated[str, AfterValidator(_duration)]
Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, alias_generator=lambda name: name.replace("_", "-")
    )


class Adapt(_Section):
    """Bounds between which the number of workers follows the work."""

    minimum: int = Field(default=1, strict=True, ge=0, le=100_000)
    maximum: Count

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"`minimum` ({self.minimum}) is above `maximum` ({self.maximum})")
        return self


class Timeouts(_Section):
    """Seconds to wait: for the first worker (null: for ever), for the end, between looks at the queue."""

    start: Seconds | None = None
    close: Seconds = 30.0
    poll: Seconds = 10.0


class Driver(_Section):
    """What the job that runs the study itself asks for (`distspc submit`)."""

    cores: Count = 1
    memory: Memory = "4 GiB"
    walltime: str | None = None
    directives: tuple[str, ...] = ()


class Settings(_Section):
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
    settings: Settings
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
        from distspc.deploy.machine import local_shape

        return local_shape(self.settings)


# ---------------------------------------------------------------- finding and reading


def profile_folder() -> Path:
    """Folder of the shipped profiles: in the installed package, or `cluster/` of a checkout."""
    package = Path(__file__).resolve().parents[1]
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
    return read_config(path)


def _no_profile(name: str) -> str:
    known = list_profiles()
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return (
        f"there is no profile {name!r}; {hint}give one of {', '.join(known)}, the path of a .yaml file, "
        "the address of a scheduler (tcp://host:port, tls://host:port) or its scheduler file (.json)"
    )


class _Loader(yaml.SafeLoader):
    """Plain data; 10:00:00 stays text (YAML 1.1 reads it as a number in base 60)."""


_INTEGER = re.compile(r"^[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0o?[0-7_]+)$")
_FLOAT = re.compile(r"^[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9_]+)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.nan$")
_RULES = {"tag:yaml.org,2002:int": _INTEGER, "tag:yaml.org,2002:float": _FLOAT}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _RULES.get(tag, rule)) for tag, rule in rules]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML file of plain data.

    Raises
    ------
    InputError
        If it is missing, too large, not YAML or not a mapping.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe or a device would never end
            raise InputError(f"{path} is not a regular file; a profile is a page of YAML")
        if path.stat().st_size > MAX_FILE_NBYTES:
            raise InputError(f"{path} has {path.stat().st_size:,} bytes; a profile is a page of YAML")
        text = path.read_text(encoding="utf-8")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise InputError(f"{path}: aliases (*name) are not allowed; write the value out")
        content = yaml.load(text, Loader=_Loader)
    except FileNotFoundError:
        raise InputError(f"there is no profile file {path}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} must be a mapping of keys to values, not {type(content).__name__}")
    return content


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"cannot read the override {override!r}; write key=value, such as workers=4")
    try:
        value = yaml.load(text, Loader=_Loader)
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
    queue = queue_section(str(kind))
    if queue and parts[0] not in _keys(Settings) and parts[0] in queue_keys(queue):
        return ["jobqueue", queue, *parts]
    return ["distspc", *parts]


# ---------------------------------------------------------------- validation


def _validate(name: str, content: Mapping[str, Any]) -> Profile:
    problems = list(unknown_sections(content))
    settings = None
    try:
        settings = Settings.model_validate(content.get("distspc") or {})
    except ValidationError as error:
        problems += _explain(error)
    config = {key: value for key, value in content.items() if key != "distspc"}
    problems += unknown_distributed(config.get("distributed") or {})
    problems += queue_problems(config.get("jobqueue") or {}, settings.kind if settings else None)
    problems += driver_problems(settings.driver.walltime, settings.kind) if settings else []
    if problems or settings is None:
        raise InputError(f"profile {name}:\n" + "\n".join(f"  {line}" for line in problems))
    return Profile(name=name, settings=settings, config=config)


def _explain(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        loc = [str(part) for part in item["loc"] if not re.search(r"literal|constrained|function", str(part))]
        key = ".".join(["distspc", *loc])
        if item["type"] == "extra_forbidden":
            yield unknown_key(key, _keys(_section_at(loc[:-1])))
        elif item["type"] == "missing":
            yield f"{key}: this key is missing{_choices(loc)}"
        elif item["type"] == "value_error":
            seen = f"{item['input']!r} is not possible; " if loc and not isinstance(item["input"], dict) else ""
            yield f"{key}: {seen}{item['ctx']['error']}"
        else:
            yield f"{key}: {item['input']!r} is not possible; {re.sub('^Input should', 'it should', item['msg'])}"


def _choices(loc: Sequence[str]) -> str:
    return f"; it is one of {', '.join(get_args(Kind))}" if loc == ["kind"] else ""


def _section_at(loc: Sequence[str]) -> type[_Section]:
    sections: dict[str, type[_Section]] = {"adapt": Adapt, "timeouts": Timeouts, "driver": Driver}
    return sections.get(loc[0], Settings) if loc else Settings


def _keys(section: type[_Section]) -> list[str]:
    return [name.replace("_", "-") for name in section.model_fields]
