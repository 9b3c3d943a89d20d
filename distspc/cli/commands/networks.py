"""Commands of networks: what layers they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from distspc.cli.dialogue.speech import echo_text
from distspc.cli.usage import completion
from distspc.cli.usage.help import LOOK, examples
from distspc.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

commands = typer.Typer()


@commands.command(
    rich_help_panel=LOOK,
    epilog=examples(
        "layers hybrid1365",
        "layers net.onnx",
        "layers timm:vit_small_patch14_dinov2.lvd142m",
        "layers study.yaml",
    ),
)
def layers(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="What `model: weights:` names, such as net.onnx or resnet50; or a study.",
            autocompletion=completion.weights_or_study,
        ),
    ],
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Weights of a network of timm, in a file.")
    ] = None,
) -> None:
    """List a network's layers, as a study may name them.

    A row has the name, the kind, the shape of the output for one image, and the number of features.
    """
    from distspc.cli.dialogue.output import table

    if not model.endswith((".yaml", ".yml")):
        echo_text(table(_table(weights=model, file=file)))
    elif file is not None:
        raise InputError(f"--file {file!r} goes with a MODEL timm:NAME; a study names it as `file` under `model`")
    else:
        echo_text(table(_study_table(model)))


def _table(**settings: Any) -> pd.DataFrame:
    from distspc.extraction.network import layer_table
    from distspc.extraction.network_spec import choose_network

    return layer_table(choose_network(**settings))


def _study_table(file: str) -> pd.DataFrame:
    """Layers of the network of a study; of several, with the model of each."""
    import pandas as pd

    from distspc.study.file import StudyFile

    found, study = [], StudyFile.from_file(file)
    if study.activations is not None:
        raise InputError(f"{file} takes `activations` and has no network; its layers are {', '.join(study.layers)}")
    for network in study.networks:
        with network.named_errors():
            rows = _table(**network.options.choice)
        if network.model:
            rows.insert(0, "model", network.model)
        found.append(rows)
    return pd.concat(found, ignore_index=True)
