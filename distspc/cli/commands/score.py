"""The command that scores new images against a study."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from distspc.cli.dialogue.speech import echo_done, echo_text, note, warn
from distspc.cli.usage import completion
from distspc.cli.usage.help import RUN, examples
from distspc.cli.usage.options import ProfileOption, SetOption, StudyArgument
from distspc.errors import InputError
from distspc.messages import counted

if TYPE_CHECKING:
    from distspc.pipeline.run import Study
    from distspc.pipeline.score import Scored

commands = typer.Typer()

_MOST_NAMED = 20
"""Files that are named one by one where they could not be used."""
_MOST_PRINTED = 200
"""Images whose rows are printed where no file is named for them."""


class _LayersCommand(TyperCommand):
    """A command that reads ``--layers fc1 fc2`` as ``--layers fc1 --layers fc2``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread_layers(args))


def spread_layers(arguments: Sequence[str]) -> list[str]:
    """Repeat ``--layers`` before each of the names that follow it, up to an option or to a path that is there.

    >>> spread_layers(["s.yaml", "--layers", "fc1", "fc2", "--output", "a.csv"])
    ['s.yaml', '--layers', 'fc1', '--layers', 'fc2', '--output', 'a.csv']
    """
    spread: list[str] = []
    naming = False
    for argument in arguments:
        naming = naming and not argument.startswith("-") and not os.path.exists(argument)
        if naming and spread[-1] != "--layers":
            spread.append("--layers")
        spread.append(argument)
        naming = naming or argument == "--layers"
    return spread


@commands.command(
    cls=_LayersCommand,
    rich_help_panel=RUN,
    epilog=examples(
        "score study.yaml new.jpg",
        "score study.yaml new/ --output new.csv --report new.html",
        "score study.yaml new/ --layers fc1 fc2 --output new.csv",
    ),
)
def score(
    study: StudyArgument,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES", help="Image files, folders, or a CSV table with a column path.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="CSV", help="Write the table to this file.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers",
            metavar="LAYER ...",
            help="Layers; all of the study by default.",
            autocompletion=completion.layers,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="PAGE.html", help="Write a page: each image beside its neighbours."),
    ] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
) -> None:
    """Measure new images against a study.

    Each gets its nearest neighbours, its reconstruction error, and its percentiles among the targets. The study
    is only read, so that a row is the same whichever images are scored together.
    """
    from distspc.cli.dialogue.output import print_dashboard
    from distspc.cli.dialogue.progress import progress_bars
    from distspc.pipeline.run import Study
    from distspc.pipeline.score import connection, score_images

    for option, path in (("--output", output), ("--report", report)):
        _check_place(option, path)
    loaded = Study.from_file(study)
    if output is None:
        _refuse_long_print(images)
    names = [name for text in layers or () for name in text.split(",") if name]
    with connection(loaded, profile, tuple(overrides or ()), print_dashboard) as connect, progress_bars() as progress:
        scored = score_images(
            loaded, images, layers=names, connect=connect, always_connect=profile is not None, progress=progress
        )
    _deliver(scored, output)
    if report is not None:
        _write_page(scored, report, loaded)
    scored.forget()
    _finish(scored)


def _check_place(option: str, path: Path | None) -> None:
    """Refuse a file that cannot be written, before anything is computed."""
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{option} {path} is a folder: name a file")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{option} {path}: there is no folder {path.absolute().parent}; make it first")


def _refuse_long_print(images: Sequence[Path]) -> None:
    from distspc.scoring.images import list_new_images

    n = len(list_new_images(images))
    if n > _MOST_PRINTED:
        raise InputError(f"{n} images are too many to be printed: name a file with --output")


def _deliver(scored: Scored, output: Path | None) -> None:
    """Print the table, or write it."""
    from distspc.cli.dialogue.output import table
    from distspc.io.files import written_whole
    from distspc.results.measures import with_models

    shown = with_models(scored.table)
    if output is None:
        echo_text(table(shown))
        return
    with written_whole(output) as beside:
        shown.to_csv(beside, index=False)
    echo_done(str(output))


def _write_page(scored: Scored, report: Path, study: Study) -> None:
    from distspc.report.page import study_title
    from distspc.scoring.page import write_page

    title = f"{study_title(study.stored)}: new images"
    images = scored.images
    write_page(scored.table, scored.reference, report, title=title, notices=scored.notices, skipped=images.skipped)
    echo_done(str(report))


def _finish(scored: Scored) -> None:
    """Say what could not be given and which files could not be used; exit code 2 for these."""
    from distspc.cli.dialogue.output import printable

    for notice in scored.notices:
        note(printable(notice))
    skipped = scored.images.skipped
    for file, reason in skipped[:_MOST_NAMED]:
        warn(f"skipped: {printable(file)}: {reason}")
    if len(skipped) > _MOST_NAMED:
        warn(f"... and {len(skipped) - _MOST_NAMED} more")
    if skipped:
        warn(f"{counted(len(skipped), 'image')} could not be used; all others have their rows.")
        raise typer.Exit(2)
