"""Commands of data sets and new studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from distspc.cli import completion
from distspc.cli.help import DATA, examples
from distspc.cli.options import ProfileOption, SetOption, echo_text
from distspc.cli.study_commands import run

commands = typer.Typer()


@commands.command(rich_help_panel=DATA, epilog=examples("init mine --dataset things"))
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the study.")],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="isola, memcat, lamem, things, or csv.",
            autocompletion=completion.data_sets,
        ),
    ] = "csv",
) -> None:
    """Write the study file of a new study.

    It is for a data set of the field, and what to download from where is said.
    """
    from distspc.datasets.new_study import init_study

    started = init_study(dataset, directory)
    echo_text(f"study file: {started.study}")
    for sentence in started.left:
        echo_text(f"- {sentence}")


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
    from distspc.cli.progress import progress_bars
    from distspc.datasets.matlab import convert as convert_images

    with progress_bars() as progress:
        n = convert_images(targets, fillers, directory, format=image_format, n_targets=n_targets, progress=progress)
    echo_text(f"{n[0]} targets and {n[1]} fillers are in {directory}")


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
    echo_text(f"Patches of photographs and a study file are in {directory}.")
    if weights is None:
        echo_text("The network's weights are random numbers, not trained ones (--weights takes yours).")
    else:
        echo_text(f"The network is {weights}, at the layers that it has: {', '.join(Study.from_file(study).layers)}.")
    echo_text("The demo shows that everything works, and says nothing about memory: the score is edge density.")
    run(study, profile=profile, overrides=overrides)
