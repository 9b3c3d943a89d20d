"""What Dask runs in each local worker process when it starts: one Ctrl-C in a terminal reaches the whole process group.

The command ends its workers itself. Left to themselves they would show a traceback each for an interrupt, and another
for a heartbeat that a closing scheduler did not answer; both would hide what the command says.
"""

from __future__ import annotations

import logging
import signal
from typing import Any


def dask_setup(_: Any) -> None:
    """Leave Ctrl-C to the command, and do not log a heartbeat that the command's own scheduler did not answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed.worker").addFilter(_is_no_lost_heartbeat)


def _is_no_lost_heartbeat(record: logging.LogRecord) -> bool:
    return "communicate with scheduler during heartbeat" not in record.getMessage()
