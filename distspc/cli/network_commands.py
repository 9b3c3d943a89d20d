"""Commands of networks: what layers they have."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from distspc.cli.options import echo_text

commands = typer.Typer()


@commands.command()
def layers(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="What `model: weights:` names, such as net.onnx or resnet50; or a study."),
    ],
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Weights of a network of timm, in a file.")
    ] = None,
) -> None:
    """List a network's layers as a study may name them: name, kind, shape of the output for one image, features."""
    from distspc.cli.output import table
    from distspc.extraction.network import layer_table
    from distspc.extraction.network_spec import choose_network
    from distspc.study.file import StudyFile

    settings: dict[str, Any] = {"weights": model, "file": file}
    if model.endswith((".yaml", ".yml")):
        settings = StudyFile.from_file(model).model.options.network
    echo_text(table(layer_table(choose_network(**settings))))
