"""Arguments and options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from distspc.cli.usage import completion

StudyArgument = Annotated[
    Path, typer.Argument(metavar="STUDY.yaml", help="The study file.", autocompletion=completion.study_files)
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        metavar="PROFILE",
        help="Where to compute: a profile's name or file, or an address.",
        autocompletion=completion.profiles,
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the profile; repeatable.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Stop at the first image that cannot be used.")]
QueueOption = Annotated[
    str,
    typer.Option(
        "--profile", "-p", metavar="PROFILE", help="A profile of a batch queue.", autocompletion=completion.profiles
    ),
]
OptionalStudy = Annotated[
    Path | None,
    typer.Argument(metavar="STUDY.yaml", help="The study file.", autocompletion=completion.study_files),
]
RedoOption = Annotated[
    bool, typer.Option("--redo", help="Delete this stage's results and everything derived from them first.")
]
AgainOption = Annotated[
    bool, typer.Option("--extract-again", help="Extract layers again that were given back, where they are needed.")
]
UpdateOption = Annotated[
    bool,
    typer.Option(
        "--update", help="Go over to other images: activations of known ones (by the digest of their bytes) are kept."
    ),
]
PerformanceOption = Annotated[
    Path | None,
    typer.Option(
        "--performance-report", metavar="FILE.html", help="Write Dask's performance report, one file per cluster."
    ),
]


class RunOptions(NamedTuple):
    """How a study, or a stage of it, is computed; see the options of the same names."""

    profile: str | None = None
    overrides: tuple[str, ...] = ()
    strict: bool = False
    redo: bool = False
    extract_again: bool = False
    performance_report: Path | None = None
    update: bool = False
