"""Fixtures that tests of several modules share."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

# A run on a server must say the same twice; at a desk every run looks for new examples. No test asserts on time.
settings.register_profile("desk", deadline=None)
settings.register_profile("server", derandomize=True, deadline=None)
settings.load_profile("server" if os.environ.get("CI") == "true" else "desk")


@pytest.fixture(autouse=True)
def log_goes_nowhere_after_a_command() -> Iterator[None]:
    """Take away the handler that a command sets up: it writes to the standard error of a test that has ended."""
    yield
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.fixture
def record_property(record_property: Callable[[str, object], None]) -> Callable[[str, Any], None]:
    """Record numbers as plain ones, which test processes can send to the one that reports."""
    return lambda name, value: record_property(name, np.asarray(value).tolist())


@pytest.fixture(scope="session")
def literal() -> ModuleType:
    """Give the sparse-coding model as the method writes it: literal and slow, for comparison."""
    path = Path(__file__).parent / "oracles" / "sparse_coding.py"
    spec = importlib.util.spec_from_file_location("literal_sparse_coding", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def _executable(*names: str) -> str:
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    message = f"{names[0]} is not installed (Debian: apt-get install chromium chromium-driver)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def open_page() -> Iterator[Callable[..., Any]]:
    """Give a function that opens a page in headless Chromium: `open_page(url, width=1280)` returns the driver.

    The driver keeps the console's log (`driver.get_log("browser")`). All browsers are closed when the test ends.
    """
    chromium, chromedriver = _executable("chromium", "chromium-browser", "google-chrome"), _executable("chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    drivers, profiles = [], []

    def open_page(url: str, *, width: int = 1280, height: int = 900, scripts: bool = True) -> Any:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        profiles.append(tempfile.mkdtemp(prefix="distspc-chromium-"))
        for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={profiles[-1]}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        driver = webdriver.Chrome(options=options, service=Service(chromedriver))
        drivers.append(driver)
        # Chromium's windows have a least width; emulation gives a phone's.
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(url)
        return driver

    yield open_page
    for driver in drivers:
        driver.quit()
    for profile in profiles:
        shutil.rmtree(profile, ignore_errors=True)
