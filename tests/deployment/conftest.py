"""Fixtures that tests of clusters share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

WAIT_S = 60


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Give a function that puts a shell script in place of a command: `stand_in("squeue", "echo 17")`."""
    folder = tmp_path / "stand-ins"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(command: str, body: str) -> None:
        (folder / command).write_text(f"#!/bin/sh\n{body}\n")
        (folder / command).chmod(0o755)

    return write


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Give a function that waits until something is true."""

    def wait(true: Callable[[], object]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not true():
            if time.monotonic() > deadline:
                pytest.fail("it did not happen in time")
            time.sleep(0.05)

    return wait
