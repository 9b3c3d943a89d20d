"""What a local worker says of bad input: nothing, because the command itself says it once and in words."""

from __future__ import annotations

import logging
import re
from typing import Any

from distributed import WorkerPlugin

_BAD_INPUT = re.compile(
    r"^Exception: *['\"]?(InputError|BadImageError|StoreMismatchError|StoreBusyError)\(", re.MULTILINE
)


def not_bad_input(record: logging.LogRecord) -> bool:
    """Whether a record of a worker's log is anything but a task that refused its input."""
    text = record.getMessage()
    return not (text.startswith("Compute Failed") and _BAD_INPUT.search(text))


class PlainWords(WorkerPlugin):
    """Keeps tracebacks of bad input off the terminal that local workers share with the command."""

    def setup(self, worker: Any) -> None:
        """Filter the worker's own log."""
        logging.getLogger("distributed.worker").addFilter(not_bad_input)

    def teardown(self, worker: Any) -> None:
        """Undo it: the worker may live in a process that goes on."""
        logging.getLogger("distributed.worker").removeFilter(not_bad_input)
