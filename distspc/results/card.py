"""What a notebook shows of a study, its status and its results: a card, as HTML and as text.

A card is cheap and never an obstacle: asking writes nothing, and what cannot be read is said instead of raised.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Done:
    """A cell of a card: how much of something is done."""

    done: int
    all: int

    def __str__(self) -> str:
        return f"{self.done:,} of {self.all:,}"

    @property
    def percent(self) -> int:
        """How much of a bar is filled."""
        return round(100 * min(self.done / self.all, 1)) if self.all else 0


@dataclass(frozen=True)
class Card:
    """What is shown: facts, then a table, then what else is to be known."""

    title: str
    facts: Sequence[tuple[str, str]] = ()
    caption: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str | Done]] = ()
    notes: Sequence[str] = ()

    def html(self, below: str = "") -> str:
        """The card as HTML that fits light and dark pages and loads nothing; `below` is HTML to be unfolded."""
        from markupsafe import Markup

        page = pages("distspc.results").get_template("card.html")
        return page.render(card=self, below=Markup(below))  # xarray has escaped it

    def text(self) -> str:
        """The card as lines of text."""
        rows = [[str(cell) for cell in row] for row in ([self.head, *self.rows] if self.rows else [])]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([self.title, *(f"  {name}: {value}" for name, value in self.facts),
                          *(f"  {line}" for line in lines), *(f"  {note}" for note in self.notes)])  # fmt: skip


def study_name(store: Path) -> str:
    """What a study is called: its store's name, or that of its folder."""
    return store.resolve().parent.name if store.stem in ("study", "store") else store.stem


def card_of(title: str, make: Callable[[], Card]) -> Card:
    """A card, or one that says why there is none: looking at something raises nothing."""
    try:
        return make()
    except Exception as error:  # whatever is wrong with the files of a study
        return Card(title, notes=[f"cannot be read: {type(error).__name__}: {error}"])


def shown(draw: Callable[[], str]) -> str:
    """Text of something, or, escaped, why there is none."""
    try:
        return draw()
    except Exception as error:  # files may be gone
        return html.escape(f"cannot be read: {type(error).__name__}: {error}")


def pages(*packages: str) -> Environment:
    """Templates of some packages, those of the first before those of the next; names are escaped, typos are errors."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
