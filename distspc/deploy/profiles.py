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
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from distspc.deploy.quantities import memory_nbytes, seconds
from distspc.errors import InputError

Kind = Literal["local", "slurm", "pbs", "lsf", "sge", "slurm-runner", "address"]
QUEUES = ("slurm", "pbs", "lsf", "sge")
SECTIONS = ("distspc", "distributed", "jobqueue", "logging")
RENAMED = {"extra", "env-extra", "job-extra", "header-skip", "project"}
"""Keys that dask-jobqueue has renamed and warns about (`project` still stands for LSF and SGE)."""
ADDRESS = re.compile(r"^(tcp|tls|ws|wss|ucx|inproc)://.+")
MAX_FILE_NBYTES = 1_000_000
LEAST_MEMORY_NBYTES = 2**28
MOST_MEMORY_NBYTES = 2**46


def _memory(value: str) -> str:
    nbytes = memory_nbytes(value)
    if not LEAST_MEMORY_NBYTES <= nbytes <= MOST_MEMORY_NBYTES:
        raise ValueError("a worker needs between 0.25 GiB and 64 TiB")
    return value


def _duration(value: str) -> str:
    seconds(value)
    return value


Memory = Annotated[str, AfterValidator(_memory)]
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
        if self.kind in QUEUES:
            for key, home in (("cores_per_worker", "cores"), ("memory_per_worker", "memory")):
                if getattr(self, key) != "auto":
                    name = key.replace("_", "-")
                    raise ValueError(f"`{name}` goes with kind local; here set `jobqueue.{self.kind}.{home}`")
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
        return dict(self.config.get("jobqueue", {}).get(self.kind) or {})

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
        if self.kind in QUEUES:
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
    files = sorted(profile_folder().glob("*.yaml"))
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
    if parts[0] not in _keys(Settings) and kind in QUEUES and parts[0] in queue_keys(kind):
        return ["jobqueue", kind, *parts]
    return ["distspc", *parts]


# ---------------------------------------------------------------- validation


def _validate(name: str, content: Mapping[str, Any]) -> Profile:
    problems = list(_unknown_sections(content))
    settings = None
    try:
        settings = Settings.model_validate(content.get("distspc") or {})
    except ValidationError as error:
        problems += _explain(error)
    config = {key: value for key, value in content.items() if key != "distspc"}
    problems += _unknown_distributed(config.get("distributed") or {})
    problems += _queue_problems(config.get("jobqueue") or {}, settings.kind if settings else None)
    if problems or settings is None:
        raise InputError(f"profile {name}:\n" + "\n".join(f"  {line}" for line in problems))
    return Profile(name=name, settings=settings, config=config)


def _unknown_sections(content: Mapping[str, Any]) -> Iterator[str]:
    for key in content:
        if key not in SECTIONS:
            yield f"{key}: unknown section; allowed are {', '.join(SECTIONS)}"
        elif content[key] is not None and not isinstance(content[key], dict):
            yield f"{key}: {content[key]!r} is not possible; it should be a mapping"


def _unknown_distributed(section: Any) -> Iterator[str]:
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
            yield _unknown(f"{prefix}.{key}", list(allowed))


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


def _queue_problems(jobqueue: Any, kind: str | None) -> Iterator[str]:
    if not isinstance(jobqueue, dict):
        return
    for name, section in jobqueue.items():
        if name not in QUEUES:
            yield _unknown(f"jobqueue.{name}", list(QUEUES))
        elif not isinstance(section, dict):
            yield f"jobqueue.{name}: {section!r} is not possible; it should be a mapping"
        else:
            yield from (
                _unknown(f"jobqueue.{name}.{k}", queue_keys(name)) for k in section if k not in queue_keys(name)
            )
    if kind in QUEUES:
        section = jobqueue.get(kind)
        yield from _job_problems(kind, section if isinstance(section, dict) else {})


def _job_problems(kind: str, section: Mapping[str, Any]) -> Iterator[str]:
    where = f"jobqueue.{kind}"
    cores = section.get("cores")
    if not isinstance(cores, int) or isinstance(cores, bool) or not 1 <= cores <= 4096:
        yield f"{where}.cores: {cores!r} is not possible; cores of a job, a whole number from 1 to 4096"
    if section.get("processes", 1) != 1:
        yield f"{where}.processes: {section['processes']!r} is not possible; always 1: for more, raise `workers`"
    yield from _trouble(f"{where}.memory", section.get("memory"), _memory)
    yield from _trouble(f"{where}.walltime", section.get("walltime"), seconds, optional=True)
    if section.get("job-mem") and not list(_trouble("", section.get("memory"), _memory)):
        yield from _job_memory(where, section["memory"], section["job-mem"])


def _job_memory(where: str, memory: str, job_memory: Any) -> Iterator[str]:
    match = re.fullmatch(r"(\d+)([KMGT])", str(job_memory))
    if match is None:
        yield f"{where}.job-mem: {job_memory!r} is not possible; a number with K, M, G or T, as sbatch --mem reads it"
    elif int(match[1]) * 2 ** (10 * (1 + "KMGT".index(match[2]))) < memory_nbytes(memory):
        yield f"{where}.job-mem: {job_memory!r} is less than the worker's memory, {memory!r}; raise it or make it null"


def _trouble(key: str, value: Any, check: Any, *, optional: bool = False) -> Iterator[str]:
    if value is None and optional:
        return
    try:
        check(value)
    except ValueError as error:
        yield f"{key}: {value!r} is not possible; {error}"


def _explain(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        loc = [str(part) for part in item["loc"] if not re.search(r"literal|constrained|function", str(part))]
        key = ".".join(["distspc", *loc])
        if item["type"] == "extra_forbidden":
            yield _unknown(key, _keys(_section_at(loc[:-1])))
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


def _unknown(key: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(key.rpartition(".")[2], allowed, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{key}: unknown key; {hint}allowed are {', '.join(allowed)}"
