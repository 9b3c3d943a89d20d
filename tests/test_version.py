"""Tests of: the version, which change log, citation and installed package share."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

import distspc
from distspc.version import VERSION

ROOT = Path(__file__).parents[1]


def test_there_is_one_version():
    assert distspc.__version__ == VERSION == version("distspc")


def test_the_change_log_and_the_citation_are_of_this_version():
    newest = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert newest.groups() == (VERSION, str(citation["date-released"]))
    assert citation["version"] == VERSION
    assert citation["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
