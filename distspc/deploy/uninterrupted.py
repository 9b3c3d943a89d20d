"""Preload of a local worker's process: Ctrl-C, which a terminal sends to all processes, is the driver's to handle."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Let interrupts pass; the driver ends the worker in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
