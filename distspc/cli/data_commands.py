"""Commands of data sets and new studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from distspc.cli.options import ProfileOption, SetOption, echo_text
from distspc.cli.study_commands import run

commands = typer.Typer()


@commands.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the study.")],
    dataset: Annotated[str, typer.Option("--dataset", help="isola, memcat, lamem, things, or csv.")] = "csv",
) -> None:
    """Write a study file for a data set of the field, and say what to download from where."""
    from distspc.datasets.new_study import init_study

    started = init_study(dataset, directory)
    echo_text(f"study file: {started.study}")
    for sentence in started.left:
        echo_text(f"- {sentence}")


@commands.command()
def fetch(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.")],
    dataset: Annotated[str, typer.Option("--dataset", help="isola, memcat, lamem or things.")],
) -> None:
    """Download the files of a data set that may be fetched, against their digests; what is there already stays."""
    from distspc.datasets.download import fetch as fetch_files

    files, by_hand = fetch_files(dataset, directory)
    for file in files:
        echo_text(f"here: {file}")
    for sentence in by_hand:
        echo_text(f"manual step: {sentence}")


@commands.command()
def convert(
    targets: Annotated[Path, typer.Argument(metavar="TARGETS.mat", help="MATLAB file of the target images.")],
    fillers: Annotated[Path, typer.Argument(metavar="FILLERS.mat", help="MATLAB file of the filler images.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for Targets/ and Fillers/.")],
    image_format: Annotated[
        Literal["jpeg", "png"], typer.Option("--format", help="jpeg as the paper, or png.")
    ] = "jpeg",
    n_targets: Annotated[int, typer.Option("--n-targets", min=1, help="How many of the first file count.")] = 2222,
) -> None:
    """Write the images of the MATLAB files of Isola et al. as files, as the paper did."""
    from distspc.cli.progress import progress_bars
    from distspc.datasets.matlab import convert as convert_images

    with progress_bars() as progress:
        n = convert_images(targets, fillers, directory, format=image_format, n_targets=n_targets, progress=progress)
    echo_text(f"{n[0]} targets and {n[1]} fillers are in {directory}")


@commands.command()
def demo(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="New folder for the demo.")] = Path("distspc-demo"),
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="WEIGHTS",
            help="A trained network instead of random numbers: what `model: weights:` of a study may name.",
        ),
    ] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
) -> None:
    """Run a whole study on photographs that installed packages ship, with random weights unless others are named."""
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
