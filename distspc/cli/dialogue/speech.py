"""What the command line says, and where: standard output, standard error, and a log file with all of it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from distspc import __version__
from distspc.errors import InputError

_said = logging.getLogger("distspc.said")
"""Takes what is said on either stream, for the log file alone."""
_said.propagate = False


class _Speech:
    """How much is said; one for the process, as its streams are."""

    quiet = False
    verbose = False
    file: logging.FileHandler | None = None


_speech = _Speech()


class _Stderr(logging.StreamHandler[Any]):
    """Writes to standard error as it is at the time: progress bars put themselves in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def begin(*, verbose: bool = False, quiet: bool = False, log_file: Path | None = None) -> None:
    """Begin to speak: as loud as is asked for."""
    end()
    _speech.quiet, _speech.verbose = quiet, verbose
    if log_file is not None:
        _open(log_file)
    _set_up()


def end() -> None:
    """Close the log file."""
    if _speech.file is not None:
        for logger in (_said, logging.getLogger()):
            logger.removeHandler(_speech.file)
        _speech.file.close()
    _speech.file = None


def _set_up() -> None:
    """Dask's own chatter is for its log files; here only its warnings, and with --verbose what this package says."""
    if _speech.quiet and _speech.verbose:
        raise InputError("--quiet and --verbose: choose one")
    shown = _Stderr()
    shown.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    shown.addFilter(_own_from(logging.INFO if _speech.verbose else logging.WARNING))
    logging.basicConfig(handlers=[shown], force=True)
    if _speech.file is not None:
        logging.getLogger().addHandler(_speech.file)
    more = _speech.verbose or _speech.file is not None
    logging.getLogger("distspc").setLevel(logging.INFO if more else logging.WARNING)


def _own_from(level: int) -> Any:
    """Take warnings of all, and of this package what is of a level too."""
    return lambda record: record.levelno >= (level if record.name.startswith("distspc") else logging.WARNING)


def _open(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"--log-file {path} is a folder: name a file")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--log-file {path}: there is no folder {path.absolute().parent}; make it first")
    try:
        file = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--log-file {path} cannot be written: {error.strerror}") from error
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    file.addFilter(_own_from(logging.INFO))
    _speech.file = file
    _said.handlers = [file]
    _said.setLevel(logging.INFO)
    log(f"distspc {__version__}: {' '.join(sys.argv[1:])}")


# ---------------------------------------------------------------- the options of every command


def _quiet(context: typer.Context, value: bool) -> None:
    if value and not context.resilient_parsing:
        _speech.quiet = True
        _set_up()


def _verbose(context: typer.Context, value: bool) -> None:
    if value and not context.resilient_parsing:
        _speech.verbose = True
        _set_up()


def _log_file(context: typer.Context, value: Path | None) -> None:
    if value is not None and not context.resilient_parsing:
        end()
        _open(value)
        _set_up()


_PANEL = "What is said"


def of_every_command(
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            help="Say nothing but warnings and errors, and what was asked for.",
            rich_help_panel=_PANEL,
            callback=_quiet,
            expose_value=False,
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", help="Show log messages.", rich_help_panel=_PANEL, callback=_verbose, expose_value=False
        ),
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option(
            "--log-file",
            metavar="FILE",
            help="Append all that is said to this file, with the time.",
            rich_help_panel=_PANEL,
            callback=_log_file,
            expose_value=False,
        ),
    ] = None,
) -> None:
    """Have the options that every command takes, behind its name too."""


# ---------------------------------------------------------------- saying


def is_quiet() -> bool:
    """Whether only warnings and errors are shown."""
    return _speech.quiet


def is_logged() -> bool:
    """Whether there is a log file."""
    return _speech.file is not None


def log(text: str, level: int = logging.INFO) -> None:
    """Write to the log file alone, if there is one."""
    if _speech.file is not None:
        _said.log(level, "%s", text)


def echo_text(text: str = "") -> None:
    """Print what was asked for on standard output."""
    typer.echo(text)
    log(text)


def echo_done(text: str) -> None:
    """Print what was done on standard output, unless all is to be quiet."""
    if not _speech.quiet:
        typer.echo(text)
    log(text)


def note(text: str) -> None:
    """Say on standard error what is good to know, unless all is to be quiet."""
    if not _speech.quiet:
        typer.echo(text, err=True)
    log(text)


def warn(text: str) -> None:
    """Say on standard error what has to be known."""
    typer.echo(text, err=True)
    log(text, logging.WARNING)
