"""The report in the user's browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path


def open_page(page: Path) -> str:
    """Open a page in the browser; returns what is to be said: its address too where there is no browser or display."""
    address = page.resolve().as_uri()
    if _has_display() and _opened(address):
        return f"opened in the browser: {address}"
    return f"there is no browser here; open this address: {address}"


def _has_display() -> bool:
    """Whether a browser has where to show: without a display one for terminals would take the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def _opened(address: str) -> bool:
    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
