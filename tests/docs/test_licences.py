"""Tests of: the licences of what the package depends on, as installed packages say them."""

import importlib.util
from importlib.metadata import Distribution
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "extensions" / "licences.py"


@pytest.fixture(scope="module")
def licences():
    spec = importlib.util.spec_from_file_location("licences", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_dependency_has_a_compatible_licence(licences, capsys):
    assert licences.main() == 0, capsys.readouterr().out
    listed = {line.split()[0].lower() for line in capsys.readouterr().out.splitlines()}
    assert {"numpy", "dask", "zarr", "typer", "markupsafe"} <= listed  # the last only through another
    assert "pytest" not in listed


@pytest.mark.parametrize("text", ["MIT", "GPL-3.0-only OR Apache-2.0", "BSD-3-Clause AND MIT", "MPL-2.0"])
def test_licences_that_are_compatible(licences, text):
    assert licences.is_compatible(text)


@pytest.mark.parametrize("text", ["", "GPL-3.0", "AGPL-3.0", "GNU Lesser GPL", "MIT AND GPL-2.0", "Own AND MIT"])
def test_licences_that_are_not(licences, text):
    assert not licences.is_compatible(text)


def test_a_dependency_under_another_licence_is_named(licences, tmp_path, monkeypatch, capsys):
    for name, more in (("ours", "Requires-Dist: theirs>=1\n"), ("theirs", "License-Expression: GPL-3.0-only\n")):
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1\n{more}")
    monkeypatch.syspath_prepend(tmp_path)
    assert [one.metadata["Name"] for one in licences.dependencies("ours")] == ["theirs"]
    assert licences.main("ours") == 1
    assert "not known to be compatible: theirs" in capsys.readouterr().out


def test_a_licence_is_read_from_a_file_where_metadata_are_silent(licences, tmp_path):
    folder = tmp_path / "quiet-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: quiet\nVersion: 1\nLicense: UNKNOWN\n")
    (folder / "LICENSE").write_text("Copyright 2023\n\nApache License, version 2\n")
    (folder / "RECORD").write_text("quiet-1.dist-info/METADATA,,\nquiet-1.dist-info/LICENSE,,\n")
    assert licences.licence(Distribution.at(folder)) == "Apache License, version 2"
