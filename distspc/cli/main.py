"""The command `distspc`: arguments, errors and exit codes."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from distspc.cli import (
    clean_command,
    cluster_commands,
    data_commands,
    network_commands,
    score_commands,
    selection_commands,
    study_commands,
)
from distspc.cli.help import Commands, examples
from distspc.cli.options import echo_text
from distspc.errors import DistspcError, InputError
from distspc.version import VERSION

app = typer.Typer(
    cls=Commands,
    help="Distinctiveness and sparse-coding reconstruction error of images, related to their memorability.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for group in (
    study_commands,
    clean_command,
    score_commands,
    network_commands,
    selection_commands,
    cluster_commands,
    data_commands,
):
    app.add_typer(group.commands)

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM; Typer makes one of Ctrl-C, without a word."""


def _on_sigterm(*_: Any) -> None:
    raise KeyboardInterrupt


@app.callback(
    invoke_without_command=True,
    epilog=examples(
        "demo demo", "init mine --from photographs --scores scores.csv", "run mine/study.yaml", "run --help"
    ),
)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show log messages.")] = False,
) -> None:
    if version:
        echo_text(f"distspc {VERSION}")
        raise typer.Exit()
    # Dask's own chatter is for its log files; here only its warnings, and with --verbose what this package says.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("distspc"))
    logging.basicConfig(handlers=[handler], force=True)
    logging.getLogger("distspc").setLevel(logging.INFO if verbose else logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit code 0 done, 2 bad input, 130 interrupted, 1 anything else."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        app(args=list(arguments) if arguments is not None else None)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except DistspcError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code != INTERRUPTED:
            raise
        typer.echo("stopped; run the same command again to continue", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        logging.getLogger(__name__).info("unexpected error", exc_info=True)
        typer.echo(f"error: {type(error).__name__}: {error} (run `distspc --verbose ...` for the details)", err=True)
        sys.exit(1)
