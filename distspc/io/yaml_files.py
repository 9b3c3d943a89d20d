"""YAML files of plain data, read with care; their sections as checked objects, and what is wrong in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from distspc.errors import InputError
from distspc.io.files import irregularity
from distspc.messages import unknown_key

MAX_FILE_NBYTES = 1_000_000

_INTEGER = re.compile(r"^[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0o?[0-7_]+)$")
_FLOAT = re.compile(r"^[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9_]+)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.nan$")
_RULES = {"tag:yaml.org,2002:int": _INTEGER, "tag:yaml.org,2002:float": _FLOAT}


class PlainLoader(yaml.SafeLoader):
    """Plain data only: no aliases (they can be made to explode), no duplicate key.

    10:00:00 stays text (YAML 1.1 reads it as a number in base 60).
    """

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, _RULES.get(tag, rule)) for tag, rule in rules]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise InputError(f"line {mark.line + 1}: aliases (*name) are not allowed; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is there twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise InputError(f"line {key.start_mark.line + 1}: duplicate key {key.value!r}")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, *, what: str) -> dict[str, Any]:
    """Read a YAML mapping of plain data.

    Parameters
    ----------
    path
        File.
    what
        What the file is, in messages: ``study file``, ``profile file``.

    Raises
    ------
    InputError
        If the file is missing, not text, too large, not YAML, or anything but a mapping of plain data.
    """
    try:
        status = path.stat()
        if reason := irregularity(status):
            raise InputError(f"{reason}; a {what} is a page of YAML")
        if status.st_size > MAX_FILE_NBYTES:
            raise InputError(f"has {status.st_size:,} bytes; a {what} is a page of YAML")
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=PlainLoader)
    except FileNotFoundError:
        raise InputError(f"there is no {what} {path}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} must be a mapping of keys to values, not {type(content).__name__}")
    return content


# ---------------------------------------------------------------- sections


class Section(BaseModel):
    """A section of a YAML file: keys with hyphens, nothing unknown, nothing changed later."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, alias_generator=lambda name: name.replace("_", "-")
    )

    @classmethod
    def fields_by_key(cls) -> dict[str, str]:
        """Names of the fields by the key that users write."""
        return {str(info.alias): name for name, info in cls.model_fields.items()}

    @classmethod
    def key_names(cls) -> list[str]:
        """The keys that the section may have, as users write them."""
        return list(cls.fields_by_key())


def explain_errors(error: ValidationError, section: type[Section], *, prefix: str = "") -> Iterator[str]:
    """Say what is wrong in a section, a sentence for each mistake: key, value, what was expected.

    Parameters
    ----------
    error
        What validating the section raised.
    section
        Class of the section.
    prefix
        Key of the section within its file; empty for the whole file.

    Yields
    ------
    str
        Such as ``distspc.workers: invalid value 0: expected a number greater than or equal to 1``.
    """
    for item in error.errors(include_url=False):
        # A union's branches are named between the keys.
        loc = [str(part) for part in item["loc"] if not re.match(r"literal\[|constrained-|function-", str(part))]
        key = ".".join([prefix, *loc] if prefix else loc)
        if item["type"] == "extra_forbidden":
            yield unknown_key(key, _section_at(section, loc[:-1]).key_names())
        elif item["type"] == "missing":
            yield f"{key}: this key is missing{_choices(section, loc)}"
        else:
            where = f"{key}: " if key else ""
            stated = item["type"] == "value_error" and (not loc or isinstance(item["input"], dict | list | tuple))
            yield where + ("" if stated else f"invalid value {_short(item['input'])}: ") + _expected(item)


def _section_at(section: type[Section], loc: Sequence[str]) -> type[Section]:
    parts = iter(loc)
    for part in parts:
        annotation = _field(section, part).annotation
        if get_origin(annotation) in (Mapping, tuple):
            next(parts, None)  # a key that the user chose, or a place in a list
        section = next(t for t in (annotation, *get_args(annotation)) if isinstance(t, type) and issubclass(t, Section))
    return section


def _field(section: type[Section], key: str) -> FieldInfo:
    return section.model_fields[section.fields_by_key()[key.replace("_", "-")]]


def _choices(section: type[Section], loc: Sequence[str]) -> str:
    field = _field(_section_at(section, loc[:-1]), loc[-1])
    literal = get_origin(field.annotation) is Literal
    return f"; expected one of {', '.join(map(str, get_args(field.annotation)))}" if literal else ""


def _expected(item: Any) -> str:
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] in ("model_type", "dict_type", "mapping_type"):
        return "expected a mapping of keys to values"
    if item["type"] == "path_type":
        return "expected a valid path"
    if item["type"] == "too_short":
        return f"expected at least {item['ctx']['min_length']} item"
    message = item["msg"].replace("Tuple", "List").replace("valid tuple", "valid list")
    message = re.sub(r"^Input should be (greater|less) than", r"expected a number \1 than", message)
    message = re.sub(r"^Input should (be )?", "expected ", message)
    return re.sub(r"^(\w+) should ", lambda match: f"expected {match[1].lower()} to ", message)


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, dict | list | tuple) else f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."
