"""The command that gives back disk."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from distspc.cli.dialogue.speech import echo_text
from distspc.cli.usage import completion
from distspc.cli.usage.help import LOOK, examples
from distspc.cli.usage.options import StudyArgument
from distspc.errors import InputError

if TYPE_CHECKING:
    from distspc.pipeline.clean import Choice, Item, Kind
    from distspc.pipeline.run import Study

ListFormat = Literal["table", "json"]

commands = typer.Typer()


@commands.command(
    rich_help_panel=LOOK,
    epilog=examples(
        "clean study.yaml",
        "clean study.yaml --activations",
        "clean study.yaml --activations fc1 fc2 --yes",
        "clean study.yaml --units --logs --reports",
    ),
)
def clean(
    study: StudyArgument,
    layers: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LAYER", help="With --activations: of these layers alone.", autocompletion=completion.layers
        ),
    ] = None,
    activations: Annotated[bool, typer.Option("--activations", help="Give back activations.")] = False,
    units: Annotated[bool, typer.Option("--units", help="Give back work files that stopped runs have left.")] = False,
    logs: Annotated[bool, typer.Option("--logs", help="Give back logs of the study's jobs.")] = False,
    reports: Annotated[bool, typer.Option("--reports", help="Give back what is out of date of the report.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Give back activations too that are still needed.")] = False,
    form: Annotated[ListFormat, typer.Option("--format", help="A table to read, or JSON.")] = "table",
) -> None:
    """List the disk that can be given back, or give it back.

    Nothing goes before it is named, with its size, and you have agreed. What is done stays done.
    """
    from distspc.pipeline.clean import Choice, list_items, refuse_needed
    from distspc.pipeline.run import Study

    flags: dict[Kind, bool] = {"activations": activations, "units": units, "logs": logs, "reports": reports}
    choice = Choice([kind for kind, chosen in flags.items() if chosen], layers or ())
    if layers and not activations:
        raise InputError(f"{' '.join(layers)}: layers go with --activations")
    if not choice.kinds and (yes or force):
        raise InputError("--yes and --force go with --activations, --units, --logs or --reports: name what is to go")
    loaded = Study.from_file(study)
    items = list_items(loaded, study.stem)
    if not choice.kinds:
        _show(items, form)
        return
    chosen = choice.of(items)
    if not chosen:
        echo_text("Nothing to give back of these.")
        return
    if not force:
        refuse_needed(loaded, chosen)
    _ask(loaded, chosen, yes=yes)
    _give_back(loaded, choice, force=force, name=study.stem)


def _show(items: Sequence[Item], form: ListFormat) -> None:
    """Print a table of what can be given back, or a list in JSON."""
    from distspc.cli.dialogue.output import table
    from distspc.messages import format_nbytes
    from distspc.pipeline.clean import as_table

    frame = as_table(items)
    if form == "json":
        echo_text(json.dumps(frame.to_dict("records"), indent=2))
        return
    if not items:
        echo_text("Nothing to give back.")
        return
    sizes = [format_nbytes(n) if n else "" for n in frame["nbytes"]]
    shown = frame.assign(nbytes=sizes).rename(columns={"nbytes": "size"})
    options = [f"--{kind}" for kind in dict.fromkeys(item.kind for item in items if item.nbytes)]
    echo_text(table(shown))
    echo_text(f"in all {format_nbytes(sum(item.nbytes for item in items))}")
    if options:
        echo_text(f"{', '.join(options)} give{'s' * (len(options) == 1)} it back")


def _ask(study: Study, chosen: Sequence[Item], *, yes: bool) -> None:
    """Name what is to go and how large it is, and ask; without a terminal only `yes` will do."""
    from distspc.messages import format_nbytes, shorten
    from distspc.pipeline.clean import KINDS, price

    for kind in KINDS:
        some = [item for item in chosen if item.kind == kind]
        if some:
            size = format_nbytes(sum(item.nbytes for item in some))
            echo_text(f"{kind}: {shorten((item.name for item in some), most=10)} ({size})")
    for item in (item for item in chosen if item.needed):
        echo_text(f"{item.name}: {item.needed}")
    if cost := price(study, chosen):
        echo_text(f"making the activations again: {cost}")
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("nothing is given back without an answer, and there is no terminal to ask at: add --yes")
    if not typer.confirm(f"Give back {format_nbytes(sum(item.nbytes for item in chosen))}?"):
        echo_text("Nothing was given back.")
        raise typer.Exit


def _give_back(study: Study, choice: Choice, *, force: bool, name: str) -> None:
    from distspc.messages import format_nbytes
    from distspc.pipeline.clean import clean as give_back

    gone = give_back(study, choice, force=force, name=name)
    echo_text(f"gave back {format_nbytes(sum(item.nbytes for item in gone))}; what is done stays done")
