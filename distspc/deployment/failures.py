"""Failures of workers and clusters as one sentence that names the log."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distspc.errors import DistspcError, InputError, WorkerError
from distspc.messages import counted

TAIL_NBYTES = 65_536
MORE_MEMORY = (
    "give each worker more (--set memory=8GiB for a queue; locally --set workers=1 or --set memory-per-worker=8GiB), "
    "or the study a smaller batch-size"
)
_MISSING = re.compile(r"(?:ModuleNotFoundError|ImportError): .+")
_MEMORY = re.compile(
    r"exceeded \d+% memory budget|oom[-_ ]?kill|out of memory|Out Of Memory|OUT_OF_MEMORY|Exceeded job memory limit"
    r"|MemoryError|exit code -9|Killed"
)
_ERROR = re.compile(
    r"^(?:\w+\.)*\w*(?:Error|Exception|Warning): .+|.*(?:error|cannot|not found|denied).*", re.IGNORECASE
)


class LogTail(logging.Handler):
    """Keeps the last lines that Dask logged in this process."""

    def __init__(self, n_lines: int = 200) -> None:
        super().__init__(level=logging.INFO)
        self.lines: deque[str] = deque(maxlen=n_lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.lines.append(record.getMessage())


@contextmanager
def log_tail() -> Iterator[LogTail]:
    """Keep what Dask logs inside this block."""
    tail, dask_logger = LogTail(), logging.getLogger("distributed")
    dask_logger.addHandler(tail)
    try:
        yield tail
    finally:
        dask_logger.removeHandler(tail)


def explain_failure(error: BaseException, client: Any = None, *, lines: Iterable[str] = ()) -> WorkerError | None:
    """Turn a failure of workers or cluster into a WorkerError that says what happened, and where it is logged.

    Parameters
    ----------
    error
        What a future, a client or a cluster raised.
    client
        The client it came from; its cluster knows the jobs and the folder of their logs.
    lines
        What Dask logged in this process.

    Returns
    -------
    WorkerError or None
        None where the error is the work's own: it then tells more as it is.
    """
    cluster = getattr(client, "cluster", None)
    record = getattr(cluster, "distspc_record", None)
    if record is not None and record.failure and not isinstance(error, InputError):
        return WorkerError(record.failure)
    if isinstance(error, DistspcError):
        return None
    logs = list(_texts(getattr(cluster, "distspc_logs", None), record.submitted if record else ()))
    sentence = _explained(error, logs, lines)
    return WorkerError(sentence) if sentence else None


def _explained(error: BaseException, logs: Sequence[tuple[Path, str]], lines: Iterable[str]) -> str | None:
    from distributed.client import CancelledError
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker, NoValidWorkerError

    if isinstance(error, KilledWorker):
        return f"task {error.task} lost its worker {counted(error.allowed_failures + 1, 'time')}: {_why(logs, lines)}"
    if isinstance(error, ModuleNotFoundError):
        return (
            f"a worker has no module {error.name!r}: install it into the Python that runs the workers, or set "
            f"`python` in the profile's job section{_where(logs)}"
        )
    if isinstance(error, NoValidWorkerError):
        return f"no worker offers what the task asks for ({error}); set `resources` in the profile"
    if isinstance(error, CancelledError | CommClosedError):
        return (
            f"the connection to the scheduler is lost ({error}): {_why(logs, lines)}; "
            "what is done stays, run the study again to continue"
        )
    return None


def _why(logs: Sequence[tuple[Path, str]], lines: Iterable[str]) -> str:
    here = "\n".join(lines)
    for path, text in [*logs, (None, here)]:
        if found := _MISSING.search(text):
            return f"{found[0]}{_at(path)}"
        if _MEMORY.search(text):
            return f"it ran out of memory; {MORE_MEMORY}{_at(path)}"
    return f"it ended without an error message (a node lost, a crash, memory taken by others){_where(logs)}"


def _at(path: Path | None) -> str:
    return f"; log: {path}" if path else ""


def _where(logs: Sequence[tuple[Path, str]]) -> str:
    return f"; log: {logs[0][0]}" if logs else ""


def job_logs(log_directory: Path | None, job_ids: Sequence[str] = ()) -> list[Path]:
    """Logs of these jobs (of all, where none is named), the newest first; standard error before standard output."""
    if log_directory is None or not log_directory.is_dir():
        return []
    files = [file for file in log_directory.iterdir() if file.is_file() and not file.name.startswith(".")]
    if job_ids:
        pattern = re.compile(rf"(?<!\d)({'|'.join(map(re.escape, job_ids))})(?!\d)")
        files = [file for file in files if pattern.search(file.name)]
    return sorted(files, key=lambda file: (file.stat().st_mtime, file.suffix == ".err"), reverse=True)


def _texts(log_directory: Path | None, job_ids: Sequence[str]) -> Iterator[tuple[Path, str]]:
    for path in job_logs(log_directory, job_ids):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_NBYTES))
            text = file.read().decode(errors="replace")
        if text.strip():
            yield path, text


def last_log_error(log_directory: Path | None, job_ids: Sequence[str]) -> str:
    """The telling line of the newest log of these jobs, and its path; or that there is none."""
    for path, text in _texts(log_directory, job_ids):
        if found := _MISSING.search(text):
            return f"the log says: {found[0]}; log: {path}"
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        telling = [line for line in lines if _ERROR.match(line)] or lines
        return f"the log says: {telling[-1]}; log: {path}"
    return f"they left no log in {log_directory}" if log_directory else "they left no log"
