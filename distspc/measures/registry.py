"""All measures that there are: every module of this folder that has a `MEASURE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from distspc import measures as folder
from distspc.measures.base import Column, Measure
from distspc.measures.options import Options
from distspc.messages import did_you_mean

_FRAME = ("base", "build", "options", "registry", "sampling")
"""Modules of this folder that are no measure."""


def _found() -> dict[str, Measure]:
    names = [found.name for found in iter_modules(folder.__path__) if found.name not in _FRAME]
    modules = [import_module(f"{folder.__name__}.{name}") for name in names]
    measures = [module.MEASURE for module in modules if hasattr(module, "MEASURE")]
    return {measure.word: measure for measure in measures}


MEASURES: dict[str, Measure] = _found()
"""Measures by their word in the study file."""

COLUMNS: dict[str, Column] = {column.name: column for measure in MEASURES.values() for column in measure.columns}
"""Columns of all measures by name."""

IMAGE_COLUMNS: tuple[str, ...] = tuple(
    column.name for measure in MEASURES.values() if measure.needs == "images" for column in measure.columns
)
"""Columns of the image itself, which have no layer."""


@dataclass(frozen=True)
class ChosenMeasure:
    """A measure that a study names, with its settings."""

    word: str
    options: Options

    @property
    def measure(self) -> Measure:
        """The measure."""
        return MEASURES[self.word]

    @classmethod
    def parse(cls, given: Any) -> ChosenMeasure:
        """Read an entry of `measures:`: a word, or a mapping with `name` and settings.

        Raises
        ------
        ValueError
            Names what is wrong, and what may be.
        """
        if isinstance(given, ChosenMeasure):
            return given
        word, settings = given, {}
        if isinstance(given, dict):
            if "name" not in given:
                raise ValueError(f"a measure is a name, or has `name` and settings; got the keys {', '.join(given)}")
            word, settings = given["name"], {key: value for key, value in given.items() if key != "name"}
        if word not in MEASURES:
            near = did_you_mean(word, MEASURES) if isinstance(word, str) else ""
            raise ValueError(f"there is no measure {word!r}; {near}there are {', '.join(MEASURES)}")
        try:
            return cls(word, MEASURES[word].options.of_keys(settings))
        except ValueError as error:
            raise ValueError(f"{word}: {error}") from None

    def as_given(self) -> str | dict[str, Any]:
        """As the study file has it: a word, or a mapping where settings are not the defaults."""
        if self.options == self.measure.options():
            return self.word
        return {"name": self.word, **{key.replace("_", "-"): value for key, value in self.options.recipe.items()}}


def parse_measures(given: Any) -> tuple[ChosenMeasure, ...]:
    """Read `measures:` of a study.

    Raises
    ------
    ValueError
        As `ChosenMeasure.parse`, or if a measure is named twice.
    """
    if not isinstance(given, list | tuple):
        raise ValueError(f"expected a list of measures, such as [{', '.join(MEASURES)}]")
    chosen = tuple(map(ChosenMeasure.parse, given))
    words = [one.word for one in chosen]
    twice = [word for word in dict.fromkeys(words) if words.count(word) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is named twice")
    return chosen


def columns_of(words: Sequence[str] | None) -> list[str]:
    """Columns of some measures; of all by default."""
    return [column.name for word, one in MEASURES.items() if words is None or word in words for column in one.columns]
