"""YAML files of plain data, read with care."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from distspc.errors import InputError

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
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe or a device would never end
            raise InputError(f"is not a regular file; a {what} is a page of YAML")
        if path.stat().st_size > MAX_FILE_NBYTES:
            raise InputError(f"has {path.stat().st_size:,} bytes; a {what} is a page of YAML")
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
