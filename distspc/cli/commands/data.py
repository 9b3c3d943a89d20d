"""Commands of data sets and new studies."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from distspc.cli.commands.study import run
from distspc.cli.dialogue.speech import echo_done, echo_text
from distspc.cli.usage import completion
from distspc.cli.usage.help import DATA, examples
from distspc.cli.usage.options import ProfileOption, SetOption
from distspc.errors import InputError
from distspc.messages import counted

if TYPE_CHECKING:
    from distspc.datasets.new_study import NewStudy

commands = typer.Typer()


@commands.command(
    rich_help_panel=DATA,
    epilog=examples(
        "init",
        "init mine --from photographs --scores scores.csv",
        "init mine --from photographs --scores s.csv --image file --score hit",
        "init things --dataset things",
    ),
)
def init(
    directory: Annotated[Path | None, typer.Argument(metavar="DIR", help="Folder of the study.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="A data set of the field: isola, memcat, lamem or things; csv for a template.",
            autocompletion=completion.data_sets,
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER", help="Folder of your own images; all else is found.")
    ] = None,
    fillers: Annotated[
        Path | None, typer.Option("--fillers", metavar="FOLDER", help="Folder of images that are only compared with.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", metavar="CSV", help="Table of their scores, as a spreadsheet writes it.")
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="COLUMN", help="Column that names the image, if not found.")
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option("--score", metavar="COLUMN", help="Score column; all numbers by default; repeatable."),
    ] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option("--missing", metavar="ENTRY", help="Entry that means a missing score; repeatable."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="WEIGHTS",
            help="The network, as `model: weights:` names it; hybrid1365 by default.",
            autocompletion=completion.weights,
        ),
    ] = None,
) -> None:
    """Write the study file of a new study.

    In a terminal it asks for the images and their scores, and checks each answer. With --from and --scores it finds
    the columns by itself and says what it matched. With --dataset it says what to download from where.
    """
    from distspc.datasets.new_study import init_study

    own = {"--fillers": fillers, "--scores": scores, "--image": image, "--score": score, "--missing": missing}
    own |= {"--weights": weights}
    named = [option for option, value in own.items() if value]
    if dataset is not None and (folder is not None or named):
        raise InputError(f"--dataset {dataset} goes without {', '.join(['--from'] * (folder is not None) + named)}")
    if folder is None and named:
        raise InputError(f"{', '.join(named)}: name the folder of the images too, with --from FOLDER")
    if folder is None and dataset is None and sys.stdin.isatty() and sys.stdout.isatty():
        from distspc.cli.dialogue.questions import ask_for_study

        _say_started(ask_for_study(directory))
        return
    if directory is None:
        raise InputError("name a folder for the study, as in `distspc init DIR --from FOLDER --scores CSV`")
    if folder is not None:
        _say_started(_own_study(directory, folder, fillers, scores, image, score, missing, weights))
        return
    started = init_study(dataset or "csv", directory)
    echo_done(f"study file: {started.study}")
    for sentence in started.left:
        echo_done(f"- {sentence}")


def _own_study(
    directory: Path,
    folder: Path,
    fillers: Path | None,
    scores: Path | None,
    image: str | None,
    score: list[str] | None,
    missing: list[str] | None,
    weights: str | None,
) -> NewStudy:
    from distspc.datasets.own_images import DEFAULT_WEIGHTS, find_images, find_scores, init_own_study

    of_scores = {"--image": image, "--score": score, "--missing": missing}
    idle = [option for option, value in of_scores.items() if value]
    if scores is None and idle:
        raise InputError(f"{', '.join(idle)}: name the table of scores too, with --scores CSV")
    images = find_images(folder, fillers)
    found = None
    if scores is not None:
        found = find_scores(scores, images, image=image, columns=score or (), missing=missing or ())
    return init_own_study(directory, images, found, weights=weights or DEFAULT_WEIGHTS)


def _say_started(started: NewStudy) -> None:
    """Say where the study file is, what was found, and how to go on."""
    echo_done(f"study file: {started.study}")
    for sentence in started.left:
        echo_done(f"- {sentence}")
    echo_done(f"look before it runs: distspc check {shlex.quote(str(started.study))}")
    echo_done(f"run it: distspc run {shlex.quote(str(started.study))}")


@commands.command(
    rich_help_panel=DATA, epilog=examples("fetch isola-study --dataset isola", "fetch memcat --dataset memcat")
)
def fetch(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.")],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset", metavar="NAME", help="isola, memcat, lamem or things.", autocompletion=completion.data_sets
        ),
    ],
) -> None:
    """Download those files of a data set that may be fetched.

    Each is compared with its digest; what is there already stays, and what has to be got by hand is said.
    """
    from distspc.datasets.download import fetch as fetch_files

    files, by_hand = fetch_files(dataset, directory)
    for file in files:
        echo_text(f"here: {file}")
    for sentence in by_hand:
        echo_text(f"manual step: {sentence}")


@commands.command(
    rich_help_panel=DATA,
    epilog=examples(
        "convert target_images.mat filler_images.mat Images",
        "convert target_images.mat filler_images.mat Images --format png",
    ),
)
def convert(
    targets: Annotated[Path, typer.Argument(metavar="TARGETS.mat", help="MATLAB file of the target images.")],
    fillers: Annotated[Path, typer.Argument(metavar="FILLERS.mat", help="MATLAB file of the filler images.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for Targets/ and Fillers/.")],
    image_format: Annotated[
        Literal["jpeg", "png"], typer.Option("--format", help="jpeg as the paper, or png.")
    ] = "jpeg",
    n_targets: Annotated[int, typer.Option("--n-targets", min=1, help="How many of the first file count.")] = 2222,
) -> None:
    """Write the images of Isola et al.'s MATLAB files as files."""
    from distspc.cli.dialogue.progress import progress_bars
    from distspc.datasets.matlab import convert as convert_images

    with progress_bars() as progress:
        n = convert_images(targets, fillers, directory, format=image_format, n_targets=n_targets, progress=progress)
    echo_done(f"{counted(n[0], 'target')} and {counted(n[1], 'filler')} are in {directory}")


@commands.command(
    rich_help_panel=DATA, epilog=examples("demo", "demo demo2 --weights imagenet", "demo demo3 --profile slurm-cpu")
)
def demo(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the demo.")] = Path("distspc-demo"),
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="WEIGHTS",
            help="A trained network instead of random numbers: what `model: weights:` of a study may name.",
            autocompletion=completion.weights,
        ),
    ] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
) -> None:
    """Run a whole study on photographs that are here already.

    Installed packages ship them. The network's weights are random numbers unless others are named.
    """
    from distspc.datasets.demo import write_demo
    from distspc.pipeline.run import Study

    study = write_demo(directory, weights)
    echo_done(f"Patches of photographs and a study file are in {directory}.")
    if weights is None:
        echo_done("The network's weights are random numbers, not trained ones (--weights takes yours).")
    else:
        echo_done(f"The network is {weights}, at the layers that it has: {', '.join(Study.from_file(study).layers)}.")
    echo_done("The demo shows that everything works, and says nothing about memory: the score is edge density.")
    run(study, profile=profile, overrides=overrides)
