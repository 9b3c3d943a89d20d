"""Settings of measures: a frozen dataclass each, whose fields say what they may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from distspc.messages import unknown_key


def whole(default: int, *, least: int = 1, most: int) -> Any:
    """A field of a whole number."""
    return field(default=default, metadata={"least": least, "most": most})


def real(default: float, *, least: float = 0.0, most: float) -> Any:
    """A field of a number."""
    return field(default=default, metadata={"least": least, "most": most, "real": True})


def wholes(default: tuple[int, ...], *, least: int = 0, most: int) -> Any:
    """A field of different whole numbers, one at least."""
    return field(default=default, metadata={"least": least, "most": most, "several": True})


def word(*allowed: str) -> Any:
    """A field of one of some words, the first by default."""
    return field(default=allowed[0], metadata={"words": allowed})


@dataclass(frozen=True)
class Options:
    """Settings of a measure; those of a measure that has none.

    Raises
    ------
    ValueError
        If a value is not what its field may be; names the key as the study file has it.
    """

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.metadata.get("several") and isinstance(value, list | tuple):
                object.__setattr__(self, one.name, tuple(value))
            if expected := _problem(value, one.metadata):
                raise ValueError(f"{one.name.replace('_', '-')}: invalid value {value!r}: expected {expected}")

    @classmethod
    def of_keys(cls, given: Mapping[str, Any]) -> Options:
        """Settings from the keys of a study file.

        Raises
        ------
        ValueError
            If a key is unknown, or as above.
        """
        names = [one.name for one in fields(cls)]
        found = {str(key).replace("-", "_"): value for key, value in given.items()}
        for name in found:
            if name not in names:
                key = name.replace("_", "-")
                known = [name.replace("_", "-") for name in names]
                raise ValueError(unknown_key(key, known) if known else f"{key}: unknown key; this measure has none")
        return cls(**found)

    @property
    def recipe(self) -> dict[str, Any]:
        """What the store keeps of them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _problem(value: Any, limits: Mapping[str, Any]) -> str:
    """What was expected in place of a value; empty where it is right."""
    if "words" in limits:
        return "" if value in limits["words"] else f"one of {', '.join(limits['words'])}"
    if "least" not in limits:
        return ""
    least, most = limits["least"], limits["most"]
    kind = (int, float) if limits.get("real") else (int,)
    given: Sequence[Any] = value if limits.get("several") and isinstance(value, tuple | list) else [value]
    right = all(isinstance(one, kind) and not isinstance(one, bool) and least <= one <= most for one in given)
    if limits.get("several"):
        right = right and isinstance(value, tuple | list) and 0 < len(given) == len(set(given))
        return "" if right else f"a list of different whole numbers from {least} to {most}"
    return "" if right else f"a {'number' if limits.get('real') else 'whole number'} from {least} to {most}"
