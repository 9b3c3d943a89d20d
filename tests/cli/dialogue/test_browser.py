"""The page opens in the browser; where there is none its address is said."""

import contextlib
import json
import sys
import webbrowser

import pytest

from distspc.cli.dialogue.browser import open_page
from distspc.cli.main import main
from distspc.pipeline.run import Study
from tests.pipeline.imported_study import content, write_activations

ASKED = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


@pytest.fixture
def opened(monkeypatch):
    """Addresses that were opened, on a machine with a display."""
    found = []
    monkeypatch.setattr(webbrowser, "open", lambda address: not found.append(address))
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ASKED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    return found


def test_the_page_is_opened_by_its_address(tmp_path, opened):
    said = open_page(tmp_path / "my report.html")
    assert opened == [(tmp_path / "my report.html").as_uri()]
    assert said == f"opened in the browser: {opened[0]}"
    assert "%20" in opened[0]


def test_without_a_display_nothing_is_opened_and_the_address_is_said(tmp_path, opened, monkeypatch):
    monkeypatch.delenv("DISPLAY")
    said = open_page(tmp_path / "report.html")
    assert not opened
    assert said == f"there is no browser here; open this address: {(tmp_path / 'report.html').as_uri()}"


def broken(address):
    raise webbrowser.Error("could not locate runnable browser")


@pytest.mark.parametrize("browser", [lambda address: False, broken])
def test_a_browser_that_does_not_open_is_no_error(tmp_path, opened, monkeypatch, browser):
    monkeypatch.setattr(webbrowser, "open", browser)
    assert "open this address: file://" in open_page(tmp_path / "report.html")


def test_the_command_opens_the_page_also_when_nothing_is_to_do(tmp_path, opened, capsys):
    write_activations(tmp_path)
    study = tmp_path / "study.yaml"
    study.write_text(json.dumps(content()))
    Study.from_file(study).run()
    page = Study.from_file(study).report
    page.unlink()
    for option in (["--open"], ["--open"], []):
        with contextlib.suppress(SystemExit):
            main(["report", str(study), *option])
    assert opened == [page.as_uri()] * 2
    assert capsys.readouterr().err.count("opened in the browser: file://") == 2
