"""Help of the commands: the panels that list them, and their examples."""

from __future__ import annotations

from typing import Any, Final

from typer import Typer
from typer.core import TyperGroup, TyperOption
from typer.main import get_command

from distspc.cli.dialogue.speech import of_every_command

RUN: Final = "Run"
LOOK: Final = "Look"
CLUSTERS: Final = "Clusters"
DATA: Final = "Data"


def examples(*lines: str) -> str:
    """Epilogue of a command's help: command lines that can be copied, each short enough for 80 columns.

    >>> print(examples("run study.yaml").splitlines()[-1])
    distspc run study.yaml
    """
    return "\n".join(["[bold]Examples[/bold]", *(f"distspc {line}".replace("[", r"\[") for line in lines)])


def examples_of(epilogue: str | None) -> list[str]:
    """The command lines of an epilogue, without the word ``distspc``."""
    lines = (epilogue or "").replace(r"\[", "[").splitlines()
    return [line.removeprefix("distspc ") for line in lines if line.startswith("distspc ")]


def _shared_options() -> list[Any]:
    app = Typer(add_completion=False)
    app.command()(of_every_command)
    return list(get_command(app).params)


class Commands(TyperGroup):
    """All commands; paragraphs of their help are filled anew, and a flag, which takes no value, names no type."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for command in self.commands.values():
            command.params += _shared_options()
        for command in (self, *self.commands.values()):
            command.help = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
            for option in command.params:
                if isinstance(option, TyperOption) and option.is_flag:
                    option.metavar = ""
