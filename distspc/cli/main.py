"""The command `distspc`: arguments, errors and exit codes."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from distspc.cli.commands import clean, clusters, data, networks, score, selection, study
from distspc.cli.dialogue import speech
from distspc.cli.dialogue.speech import echo_text
from distspc.cli.usage.help import Commands, examples
from distspc.errors import DISK_ERRORS, DistspcError, InputError
from distspc.io.files import unwritable
from distspc.version import VERSION

app = typer.Typer(
    cls=Commands,
    help="Distinctiveness and sparse-coding reconstruction error of images, related to their memorability.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for group in (study, clean, score, networks, selection, clusters, data):
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
    verbose: Annotated[bool, typer.Option("--verbose", help="Show log messages; after the command too.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing but warnings and errors; after the command too.")
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option("--log-file", metavar="FILE", help="Append all that is said to a file; after the command too."),
    ] = None,
) -> None:
    if version:
        echo_text(f"distspc {VERSION}")
        raise typer.Exit()
    speech.begin(verbose=verbose, quiet=quiet, log_file=log_file)


def _of_the_disk(error: Exception) -> DistspcError | None:
    """What to say where a disk took no more, whatever was written; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in DISK_ERRORS:
        return None
    return unwritable(error, "what this command makes", "name another place for it, then run the same command again")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit code 0 done, 2 bad input, 130 interrupted, 1 anything else."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        app(args=list(arguments) if arguments is not None else None)
    except InputError as error:
        speech.warn(f"error: {error}")
        sys.exit(2)
    except DistspcError as error:
        speech.warn(f"error: {error}")
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code != INTERRUPTED:
            raise
        speech.warn("stopped; what is done is kept: run the same command again to continue")
        sys.exit(INTERRUPTED)
    except Exception as error:
        logging.getLogger(__name__).info("unexpected error", exc_info=True)
        told = _of_the_disk(error)
        speech.warn(
            f"error: {told or f'{type(error).__name__}: {error} (run `distspc --verbose ...` for the details)'}"
        )
        sys.exit(2 if isinstance(told, InputError) else 1)
    finally:
        speech.end()
        if arguments is None:  # the process ends here: nothing needs to be collected any more
            gc.freeze()
